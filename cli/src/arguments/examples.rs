//! The examples in the help of the verbs.

pub const PLAN: &str = "amiferry plan -f request.yaml --bucket my-ledger
amiferry plan --image ami-0a1b2c3d4e5f60718 --target 222222222222=alias/amis --detailed-exitcode";
pub const DISTRIBUTE: &str = "amiferry distribute -f request.yaml
amiferry distribute --stack my-stack --no-wait -f request.yaml
amiferry distribute --local --bucket my-ledger --image ami-0a1b2c3d4e5f60718 \\
    --target 222222222222=alias/amis --target 444444444444/us-east-1=alias/amis
amiferry distribute --packer-manifest manifest.json -f targets.yaml --manifest images.json";
pub const SHARE: &str = "amiferry share --image ami-0a1b2c3d4e5f60718 --target 222222222222
amiferry share --image ami-0a1b2c3d4e5f60718 --organization-id o-abcdefghij --key-access Policy";
pub const UNSHARE: &str = "amiferry unshare --image ami-0a1b2c3d4e5f60718 --target 222222222222";
pub const RESUME: &str = "amiferry resume 1f3870be274f6c49
amiferry resume ~/.local/state/amiferry/1f3870be274f6c49.json";
pub const VERIFY: &str = "amiferry verify -f request.yaml
amiferry verify --image ami-0a1b2c3d4e5f60718 --target 222222222222=alias/amis --all";
pub const PREFLIGHT: &str = "amiferry preflight -f request.yaml --bucket my-ledger";
pub const POLICIES: &str = "amiferry policies -f request.yaml --output json";
pub const EXPLAIN: &str = "amiferry explain 'Given key ID is not accessible'
amiferry explain - < build.log
amiferry explain --image ami-0a1b2c3d4e5f60718 --role autoscaling.amazonaws.com --profile target";
pub const RUNS: &str = "amiferry runs --bucket my-ledger";
pub const STATUS: &str = "amiferry status --bucket my-ledger
amiferry status 1f3870be274f6c49 --bucket my-ledger";
pub const WATCH: &str = "amiferry watch --bucket my-ledger
amiferry watch 1f3870be274f6c49 --bucket my-ledger --every 10s";
pub const LIVE_CHECK: &str =
    "amiferry live-check --profile images --target-profile team --region us-west-2 \\
    --other-region us-east-1
amiferry live-check --profile images --target-profile team --region us-west-2 \\
    --other-region us-east-1 --clean-up 3f0c2a9b7d1e";
pub const SANDBOX: &str = "amiferry sandbox
amiferry sandbox --world my-world.toml --port 4566 --speed 500";
pub const RECEIPT: &str = "amiferry receipt 1f3870be274f6c49 --bucket my-ledger --output json";
pub const SWEEP: &str = "amiferry sweep --bucket my-ledger
amiferry sweep --bucket my-ledger --apply";
pub const RETAIN: &str =
    "amiferry retain --lineage 'golden-*' --keep-newest 3 --bucket my-ledger \\
    --target-account-ids 222222222222,333333333333 --target-regions us-west-2,us-east-1
amiferry retain -f rule.yaml --bucket my-ledger --apply";
pub const PROMOTE: &str = "amiferry promote --from /golden/dev --to /golden/prod \\
    --target-account-ids 222222222222,333333333333 --target-regions us-west-2,us-east-1
amiferry promote -f move.yaml --apply";
pub const ROLLBACK: &str = "amiferry rollback --parameter /golden/prod \\
    --source-image-id ami-0a1b2c3d4e5f60718 --target-account-ids 222222222222 --apply";
pub const COMPLETIONS: &str =
    "amiferry completions bash > ~/.local/share/bash-completion/completions/amiferry";

/// Returns the section of help with these lines.
pub fn examples(lines: &str) -> String {
    let lines: Vec<String> = lines.lines().map(|line| format!("  {line}")).collect();
    format!("Examples:\n{}", lines.join("\n"))
}
