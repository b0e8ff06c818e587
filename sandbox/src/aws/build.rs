//! From a declared world to a live one. Whatever does not fit together is refused with the key at fault.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::ids::uuid_of;
use super::{
    Aws, Caller, Credential, LiveAccount, LiveImage, LiveKey, LivePrincipal, LiveSnapshot, Rules,
    is_region,
};
use crate::iam::{self, Kind, Policy};
use crate::model::{Image, Snapshot};
use crate::world::{AccessKey, Account, Key, Role, User, World, WorldError};

/// Whether a sandbox could start from this world.
pub(crate) fn check(world: &World) -> Result<(), WorldError> {
    Aws::from_world(world.clone(), SystemTime::UNIX_EPOCH).map(drop)
}

impl Aws {
    pub(crate) fn from_world(world: World, now: SystemTime) -> Result<Self, WorldError> {
        let mut aws = Self::empty(&world, now);
        for (i, account) in world.accounts.iter().enumerate() {
            add_account(&mut aws, account, &format!("account[{i}]"))?;
        }
        // Keys before what they encrypt, and snapshots before images, in whatever order the world tells of them.
        for (i, account) in world.accounts.iter().enumerate() {
            for (j, key) in account.keys.iter().enumerate() {
                add_key(
                    &mut aws,
                    &account.id,
                    key,
                    &format!("account[{i}].key[{j}]"),
                )?;
            }
            add_default_keys(&mut aws, account, &format!("account[{i}].ebs_default_keys"))?;
        }
        for (i, account) in world.accounts.iter().enumerate() {
            for (j, snapshot) in account.snapshots.iter().enumerate() {
                let at = format!("account[{i}].snapshot[{j}]");
                add_snapshot(&mut aws, &account.id, snapshot.clone(), &at)?;
            }
        }
        for (i, account) in world.accounts.into_iter().enumerate() {
            for (j, image) in account.images.into_iter().enumerate() {
                let at = format!("account[{i}].image[{j}]");
                add_image(&mut aws, &account.id, image, &at)?;
            }
        }
        Ok(aws)
    }

    fn empty(world: &World, now: SystemTime) -> Self {
        Self {
            now,
            rules: Rules {
                speed: world.speed,
                copy_mib_per_second: world.copy_mib_per_second,
                copy_start: world.copy_start,
                latency: world.latency,
                grant_delay: world.grant_delay,
                tag_delay: world.tag_delay,
                read_delay: world.read_delay,
                registration_delay: world.registration_delay,
                limits: world.limits,
            },
            accounts: BTreeMap::new(),
            principals: BTreeMap::new(),
            credentials: BTreeMap::new(),
            images: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            deregistered: BTreeSet::new(),
            keys: BTreeMap::new(),
            aliases: BTreeMap::new(),
            copying: BTreeSet::new(),
            image_tokens: BTreeMap::new(),
            buckets: BTreeMap::new(),
            invocations: Vec::new(),
            serial: 0,
        }
    }
}

fn add_account(aws: &mut Aws, account: &Account, at: &str) -> Result<(), WorldError> {
    let id = &account.id;
    if id.len() != 12 || !id.bytes().all(|b| b.is_ascii_digit()) {
        return fault(at, "id", format!("{id:?} is not twelve digits"));
    }
    let live = LiveAccount {
        organization: account.organization.clone(),
        organizational_units: account.organizational_units.clone(),
        disabled_regions: account.disabled_regions.clone(),
        ebs_default_keys: BTreeMap::new(),
    };
    if aws.accounts.insert(id.clone(), live).is_some() {
        return fault(at, "id", format!("account {id} stands twice"));
    }
    for (i, role) in account.roles.iter().enumerate() {
        add_role(aws, id, role, &format!("{at}.role[{i}]"))?;
    }
    for (i, user) in account.users.iter().enumerate() {
        add_user(aws, id, user, &format!("{at}.user[{i}]"))?;
    }
    for (i, key) in account.access_keys.iter().enumerate() {
        add_access_key(aws, id, key, &format!("{at}.access_key[{i}]"))?;
    }
    Ok(())
}

fn add_role(aws: &mut Aws, account: &str, role: &Role, at: &str) -> Result<(), WorldError> {
    let trust = match &role.trust_policy {
        Some(json) => policy(json, Kind::Trust, &format!("{at}.trust_policy"))?,
        None => policy(
            &trust_policy(role).to_string(),
            Kind::Trust,
            &format!("{at}.trusts"),
        )?,
    };
    let given: Vec<&str> = role.policies.iter().map(String::as_str).collect();
    let live = LivePrincipal {
        policies: policies(&given, &format!("{at}.policies"))?,
        trust: Some(trust),
        max_session_seconds: role.max_session_seconds.unwrap_or(3600),
    };
    add_principal(
        aws,
        &format!("arn:aws:iam::{account}:role/{}", role.name),
        live,
        at,
    )
}

fn add_user(aws: &mut Aws, account: &str, user: &User, at: &str) -> Result<(), WorldError> {
    let given: Vec<&str> = user.policies.iter().map(String::as_str).collect();
    let live = LivePrincipal {
        policies: policies(&given, &format!("{at}.policies"))?,
        trust: None,
        max_session_seconds: 0,
    };
    add_principal(
        aws,
        &format!("arn:aws:iam::{account}:user/{}", user.name),
        live,
        at,
    )
}

fn add_principal(
    aws: &mut Aws,
    arn: &str,
    live: LivePrincipal,
    at: &str,
) -> Result<(), WorldError> {
    if arn.ends_with('/') {
        return fault(at, "name", "a principal needs a name");
    }
    if aws.principals.insert(arn.to_owned(), live).is_some() {
        return fault(at, "name", format!("{arn} stands twice"));
    }
    Ok(())
}

fn trust_policy(role: &Role) -> Value {
    let service = |name: &&String| name.ends_with(".amazonaws.com");
    let services: Vec<_> = role.trusts.iter().filter(service).collect();
    let principals: Vec<_> = role.trusts.iter().filter(|name| !service(name)).collect();
    let mut statements = Vec::new();
    let lambda = "lambda.amazonaws.com".to_owned();
    if !principals.is_empty() {
        let mut statement = json!({
            "Effect": "Allow", "Principal": {"AWS": principals}, "Action": "sts:AssumeRole",
        });
        if let Some(id) = &role.external_id {
            statement["Condition"] = json!({"StringEquals": {"sts:ExternalId": id}});
        }
        statements.push(statement);
    }
    if !services.is_empty() || principals.is_empty() {
        let services = if services.is_empty() {
            vec![&lambda]
        } else {
            services
        };
        statements.push(json!({
            "Effect": "Allow", "Principal": {"Service": services}, "Action": "sts:AssumeRole",
        }));
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

fn add_access_key(
    aws: &mut Aws,
    account: &str,
    key: &AccessKey,
    at: &str,
) -> Result<(), WorldError> {
    let arn = &key.principal;
    if !aws.principals.contains_key(arn) || !arn.contains(&format!("::{account}:")) {
        return fault(
            at,
            "principal",
            format!("{arn} is no role or user of this account"),
        );
    }
    if key.id.is_empty() || !key.id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return fault(at, "id", format!("{:?} is not an access key ID", key.id));
    }
    let credential = Credential {
        secret: key.secret.clone(),
        session_token: key.session_token.clone(),
        expires: key
            .valid_seconds
            .map(|seconds| aws.now + Duration::from_secs(seconds.into())),
        global: false,
        caller: caller(aws, account, arn, "sandbox", None),
    };
    if aws.credentials.insert(key.id.clone(), credential).is_some() {
        return fault(at, "id", format!("access key {} stands twice", key.id));
    }
    Ok(())
}

/// Someone acting as this role or user; a role always acts in a session.
pub(crate) fn caller(
    aws: &Aws,
    account: &str,
    identity: &str,
    session: &str,
    session_policy: Option<Arc<Policy>>,
) -> Caller {
    let role = identity.split_once(":role/").map(|(_, path)| path);
    let name = role.map(|path| path.rsplit('/').next().unwrap_or(path));
    let arn = name.map_or_else(
        || identity.to_owned(),
        |name| format!("arn:aws:sts::{account}:assumed-role/{name}/{session}"),
    );
    Caller {
        principal: iam::Principal {
            arn,
            role_arn: name.map(|_| identity.to_owned()),
            account: account.to_owned(),
            org_id: aws.organization_of(account),
            service: None,
        },
        identity: identity.to_owned(),
        session_policy,
    }
}

fn add_key(aws: &mut Aws, account: &str, key: &Key, at: &str) -> Result<(), WorldError> {
    known_region(&key.region, at)?;
    if key.id.is_empty()
        || !key
            .id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    {
        return fault(at, "id", format!("{:?} is not a key ID", key.id));
    }
    let state = key.state.clone().unwrap_or_else(|| "Enabled".to_owned());
    if !matches!(state.as_str(), "Enabled" | "Disabled" | "PendingDeletion") {
        return fault(
            at,
            "state",
            format!("{state:?} is not Enabled, Disabled or PendingDeletion"),
        );
    }
    let default = || default_key_policy(account).to_string();
    let policy_text = key.policy.clone().unwrap_or_else(default);
    let live = LiveKey {
        arn: key_arn(&key.region, account, &key.id),
        account: account.to_owned(),
        region: key.region.clone(),
        id: key.id.clone(),
        description: key.description.clone(),
        state,
        managed: false,
        created: aws.now,
        policy: policy(&policy_text, Kind::Resource, &format!("{at}.policy"))?,
        policy_text,
        grants: Vec::new(),
    };
    for alias in &key.aliases {
        if !alias.starts_with("alias/") || alias.starts_with("alias/aws/") {
            return fault(
                at,
                "aliases",
                format!("{alias:?} is not alias/… of a customer key"),
            );
        }
        let name = (account.to_owned(), key.region.clone(), alias.clone());
        if aws.aliases.insert(name, live.arn.clone()).is_some() {
            return fault(at, "aliases", format!("{alias} stands twice"));
        }
    }
    if aws.keys.insert(live.arn.clone(), live).is_some() {
        return fault(at, "id", format!("key {} stands twice", key.id));
    }
    Ok(())
}

fn add_default_keys(aws: &mut Aws, account: &Account, at: &str) -> Result<(), WorldError> {
    for (region, key) in &account.ebs_default_keys {
        known_region(region, at)?;
        let arn = find_key(aws, &account.id, region, key, at)?;
        if let Some(live) = aws.accounts.get_mut(&account.id) {
            live.ebs_default_keys.insert(region.clone(), arn);
        }
    }
    Ok(())
}

/// `aws/ebs` of this account and Region, made when first asked for, as AWS does.
pub(crate) fn managed_key(aws: &mut Aws, account: &str, region: &str) -> String {
    let id = uuid_of(&format!("aws/ebs {account} {region}"));
    let arn = key_arn(region, account, &id);
    let text = managed_key_policy(account, region).to_string();
    if let (false, Ok(policy)) = (aws.keys.contains_key(&arn), Policy::parse(&text)) {
        let live = LiveKey {
            arn: arn.clone(),
            account: account.to_owned(),
            region: region.to_owned(),
            id,
            description: "Default key that protects my EBS volumes when no other key is defined"
                .to_owned(),
            state: "Enabled".to_owned(),
            managed: true,
            created: aws.now,
            policy_text: text,
            policy: Arc::new(policy),
            grants: Vec::new(),
        };
        aws.keys.insert(arn.clone(), live);
        let alias = (
            account.to_owned(),
            region.to_owned(),
            "alias/aws/ebs".to_owned(),
        );
        aws.aliases.insert(alias, arn.clone());
    }
    arn
}

pub(crate) fn key_arn(region: &str, account: &str, id: &str) -> String {
    format!("arn:aws:kms:{region}:{account}:key/{id}")
}

/// Lets the account's IAM policies decide (KMS guide, default key policy).
fn default_key_policy(account: &str) -> Value {
    json!({"Version": "2012-10-17", "Id": "key-default-1", "Statement": [{
        "Sid": "Enable IAM User Permissions", "Effect": "Allow",
        "Principal": {"AWS": format!("arn:aws:iam::{account}:root")},
        "Action": "kms:*", "Resource": "*",
    }]})
}

/// Usable only through EC2 and only from the account itself (KMS guide, AWS managed keys).
fn managed_key_policy(account: &str, region: &str) -> Value {
    json!({"Version": "2012-10-17", "Id": "auto-ebs-2", "Statement": [
        {
            "Sid": "Allow access through EBS for all principals in the account that are authorized to use EBS",
            "Effect": "Allow", "Principal": {"AWS": "*"},
            "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:CreateGrant", "kms:DescribeKey"],
            "Resource": "*",
            "Condition": {"StringEquals": {
                "kms:CallerAccount": account, "kms:ViaService": format!("ec2.{region}.amazonaws.com"),
            }},
        },
        {
            "Sid": "Allow direct access to key metadata to the account",
            "Effect": "Allow", "Principal": {"AWS": format!("arn:aws:iam::{account}:root")},
            "Action": ["kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"],
            "Resource": "*",
        },
    ]})
}

pub(super) fn add_snapshot(
    aws: &mut Aws,
    account: &str,
    mut snapshot: Snapshot,
    at: &str,
) -> Result<(), WorldError> {
    known_region(&snapshot.region, at)?;
    resource_id("snap", &snapshot.snapshot_id, at)?;
    account.clone_into(&mut snapshot.owner_id);
    if let Some(key) = &snapshot.kms_key_arn {
        let arn = find_key(aws, account, &snapshot.region, key, &format!("{at}.key"))?;
        snapshot.kms_key_arn = Some(arn);
        snapshot.encrypted = true;
    } else if snapshot.encrypted {
        snapshot.kms_key_arn = Some(managed_key(aws, account, &snapshot.region));
    }
    let volume = &snapshot.volume_id;
    snapshot
        .encryption_context_id
        .get_or_insert_with(|| volume.clone());
    if snapshot.start_time == SystemTime::UNIX_EPOCH {
        snapshot.start_time = aws.now;
        snapshot.completion_time = (snapshot.state == "completed").then_some(aws.now);
    }
    let live = LiveSnapshot {
        visible_at: aws.now,
        tags_visible_at: aws.now,
        copy: None,
        view: snapshot,
    };
    let id = live.view.snapshot_id.clone();
    if aws.snapshots.insert(id.clone(), live).is_some() {
        return fault(at, "id", format!("{id} stands twice"));
    }
    Ok(())
}

pub(super) fn add_image(
    aws: &mut Aws,
    account: &str,
    mut image: Image,
    at: &str,
) -> Result<(), WorldError> {
    known_region(&image.region, at)?;
    resource_id("ami", &image.image_id, at)?;
    account.clone_into(&mut image.owner_id);
    if image.creation_date == SystemTime::UNIX_EPOCH {
        image.creation_date = aws.now;
    }
    for (i, mapping) in image.block_device_mappings.iter_mut().enumerate() {
        let Some(ebs) = &mut mapping.ebs else {
            continue;
        };
        let Some(id) = &ebs.snapshot_id else { continue };
        // An image may outlive its snapshot; one that is there gives its facts.
        if let Some(snapshot) = aws.snapshots.get(id).map(|s| &s.view) {
            if snapshot.region != image.region {
                let key = format!("{at}.mapping[{i}].ebs.snapshot_id");
                return Err(WorldError::new(
                    key,
                    format!("{id} is in {}", snapshot.region),
                ));
            }
            ebs.encrypted = snapshot.encrypted;
            ebs.volume_size.get_or_insert(snapshot.volume_size);
        }
    }
    let live = LiveImage {
        visible_at: aws.now,
        tags_visible_at: aws.now,
        available_at: aws.now,
        waits_for: Vec::new(),
        view: image,
    };
    let id = live.view.image_id.clone();
    if aws.images.insert(id.clone(), live).is_some() {
        return fault(at, "id", format!("{id} stands twice"));
    }
    Ok(())
}

/// A key by ARN, ID or alias; `alias/aws/ebs` always exists.
fn find_key(
    aws: &mut Aws,
    account: &str,
    region: &str,
    key: &str,
    at: &str,
) -> Result<String, WorldError> {
    if key == "alias/aws/ebs" {
        return Ok(managed_key(aws, account, region));
    }
    let alias = (account.to_owned(), region.to_owned(), key.to_owned());
    let by_alias = aws.aliases.get(&alias).cloned();
    let arn = by_alias.unwrap_or_else(|| {
        if key.starts_with("arn:") {
            key.to_owned()
        } else {
            key_arn(region, account, key)
        }
    });
    // A foreign or vanished key is a world worth testing; a misspelt name is not.
    if key.starts_with("arn:") || aws.keys.contains_key(&arn) {
        return Ok(arn);
    }
    Err(WorldError::new(
        at,
        format!("{key:?} is no key of account {account} in {region}"),
    ))
}

pub(super) fn policy(json: &str, kind: Kind, at: &str) -> Result<Arc<Policy>, WorldError> {
    parse(json, kind, at).map(Arc::new)
}

fn parse(json: &str, kind: Kind, at: &str) -> Result<Policy, WorldError> {
    let parsed = Policy::parse(json).and_then(|policy| policy.check(kind).map(|()| policy));
    parsed.map_err(|error| WorldError::new(at, error.to_string()))
}

pub(super) fn policies(given: &[&str], at: &str) -> Result<Arc<Vec<Policy>>, WorldError> {
    let each = given.iter().enumerate();
    let parsed = each.map(|(i, json)| parse(json, Kind::Identity, &format!("{at}[{i}]")));
    parsed.collect::<Result<Vec<_>, _>>().map(Arc::new)
}

fn known_region(region: &str, at: &str) -> Result<(), WorldError> {
    if is_region(region) {
        return Ok(());
    }
    fault(
        at,
        "region",
        format!("{region:?} is no Region the sandbox knows"),
    )
}

fn resource_id(prefix: &str, id: &str, at: &str) -> Result<(), WorldError> {
    if crate::ec2::ids::is_id(prefix, id) {
        return Ok(());
    }
    fault(
        at,
        "id",
        format!("{id:?} is not {prefix}- and 8 or 17 hexadecimal digits"),
    )
}

fn fault<T>(at: &str, key: &str, reason: impl Into<String>) -> Result<T, WorldError> {
    Err(WorldError::new(format!("{at}.{key}"), reason))
}
