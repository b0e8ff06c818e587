//! The permissions that publishing needs in a target account, for the policy of the copy role and
//! for its session policy.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::statement::{Action, Statement};
use crate::command::tag;
use crate::ids::{AccountId, TEST_PREFIX};
use crate::request::{LaunchPermissions, LaunchTemplate, LaunchTest, Publish};
use crate::state::{State, TargetState};

/// The targets of one account, and the wishes for them.
struct Site<'a> {
    partition: &'static str,
    account: &'a AccountId,
    source: &'a AccountId,
    targets: Vec<&'a TargetState>,
    wish: &'a Publish,
}

/// Returns the statements of one account's targets; none if the run publishes nothing.
pub fn statements(state: &State, account: &AccountId) -> Vec<Statement> {
    let Some(wish) = &state.order.publish else {
        return Vec::new();
    };
    let targets = state.targets.iter().filter(|t| t.account_id == *account);
    let site = Site {
        partition: state.source.region.partition(),
        account,
        source: &state.source.account_id,
        targets: targets.collect(),
        wish,
    };
    let mut statements = site.of_image();
    statements.extend(site.of_snapshots());
    if let Some(permissions) = &wish.launch_permissions {
        statements.extend(site.of_permissions(permissions));
    }
    if let Some(test) = &wish.launch_test {
        statements.extend(site.of_test(test));
    }
    if let Some(template) = &wish.launch_template {
        statements.extend(site.of_template(template));
    }
    statements.extend(site.of_parameter());
    statements
}

const LOOKING: &str = "finding what is published already";

impl Site<'_> {
    fn regions(&self) -> BTreeSet<&str> {
        self.targets.iter().map(|t| t.region.as_str()).collect()
    }

    /// Returns ARNs of a kind of EC2's resources in each Region. Images and snapshots have no
    /// account in their ARNs.
    fn at_ec2(&self, kinds: &[&str]) -> Vec<String> {
        let arn = |region: &&str, kind: &&str| {
            let of_nobody = matches!(*kind, "image" | "snapshot");
            let account = if of_nobody { "" } else { self.account.as_str() };
            format!("arn:{}:ec2:{region}:{account}:{kind}/*", self.partition)
        };
        let regions = self.regions();
        let each = regions.iter();
        each.flat_map(|region| kinds.iter().map(move |kind| arn(region, kind)))
            .collect()
    }

    /// Returns the condition that a resource was made from this source account's images.
    fn ours(&self) -> Value {
        let tag = format!("aws:ResourceTag/{}", tag::SOURCE_ACCOUNT);
        json!({"StringEquals": {tag: self.source.as_str()}})
    }

    fn of_image(&self) -> Vec<Statement> {
        let mut actions: Vec<Action> = Vec::new();
        if self.wish.deprecate.is_some() {
            actions.push((
                "ec2:EnableImageDeprecation",
                "DeprecateAt, DeprecateAfterDays",
            ));
        }
        if self.wish.protection.is_some() {
            actions.push((
                "ec2:EnableImageDeregistrationProtection",
                "DeregistrationProtection",
            ));
            actions.push((
                "ec2:DisableImageDeregistrationProtection",
                "OnDelete: Deregister, and an update that replaces the image",
            ));
        }
        if actions.is_empty() {
            return Vec::new();
        }
        let statement = Statement::allow("PublishImage", &actions);
        vec![statement.on(self.at_ec2(&["image"])).when(self.ours())]
    }

    fn of_snapshots(&self) -> Vec<Statement> {
        if self.wish.fast_snapshot_restore.is_empty() {
            return Vec::new();
        }
        let enable = [("ec2:EnableFastSnapshotRestores", "FastSnapshotRestore")];
        let enable = Statement::allow("RestoreFast", &enable);
        let look = [("ec2:DescribeFastSnapshotRestores", LOOKING)];
        vec![
            enable.on(self.at_ec2(&["snapshot"])).when(self.ours()),
            Statement::allow("LookAtRestores", &look).on(["*"]),
        ]
    }

    fn of_permissions(&self, permissions: &LaunchPermissions) -> Vec<Statement> {
        let actions = [("ec2:ModifyImageAttribute", "LaunchPermissions")];
        let mut condition = self.ours();
        condition["ForAllValues:StringEquals"] = json!({"ec2:Add/userId": permissions.account_ids});
        let never = [("ec2:ModifyImageAttribute", "never with everybody")];
        vec![
            Statement::allow("LetLaunchCopies", &actions)
                .on(self.at_ec2(&["image"]))
                .when(condition),
            Statement::deny("NeverPublicCopies", &never)
                .on(["*"])
                .when(json!({"StringEquals": {"ec2:Add/group": "all"}})),
        ]
    }

    fn of_test(&self, test: &LaunchTest) -> Vec<Statement> {
        let run = [("ec2:RunInstances", "the instance of LaunchTest")];
        let look = [
            ("ec2:DescribeInstances", "finding the instance again"),
            ("ec2:DescribeInstanceStatus", "whether it passes its checks"),
        ];
        let tags = [("ec2:CreateTags", "the instance is never without its tags")];
        let end = [("ec2:TerminateInstances", "the end of each test")];
        let around = [
            "instance",
            "volume",
            "network-interface",
            "security-group",
            "subnet",
        ];
        let mut statements = vec![
            Statement::allow("TestImage", &run)
                .on(self.at_ec2(&["image"]))
                .when(self.ours()),
            Statement::allow("TestLaunch", &run).on(self.at_ec2(&around)),
            Statement::allow("TagTest", &tags)
                .on(self.at_ec2(&["instance", "volume"]))
                .when(json!({"StringEquals": {"ec2:CreateAction": "RunInstances"}})),
            Statement::allow("LookAtTest", &look).on(["*"]),
        ];
        statements.extend(if test.auto_scaling {
            self.of_test_group()
        } else {
            // The instance of a group goes with the group.
            let end = Statement::allow("EndTest", &end).on(self.at_ec2(&["instance"]));
            vec![end.when(self.ours())]
        });
        if let Some(profile) = &test.instance_profile_name {
            let pass = [("iam:PassRole", "InstanceProfileName")];
            let role = format!(
                "arn:{}:iam::{}:role/{profile}",
                self.partition, self.account
            );
            let to_ec2 = json!({"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}});
            statements.push(
                Statement::allow("PassTestRole", &pass)
                    .on([role])
                    .when(to_ec2),
            );
        }
        statements
    }

    fn of_test_group(&self) -> Vec<Statement> {
        let group = [
            ("autoscaling:CreateAutoScalingGroup", "the group of a test"),
            ("autoscaling:DeleteAutoScalingGroup", "the end of each test"),
        ];
        let look = [
            (
                "autoscaling:DescribeAutoScalingGroups",
                "finding the group again",
            ),
            (
                "autoscaling:DescribeScalingActivities",
                "why it launches nothing",
            ),
            ("ec2:DescribeAvailabilityZones", "the default subnets"),
        ];
        let run = [("ec2:RunInstances", "the launch by a template")];
        let make = [("ec2:CreateLaunchTemplate", "what the group launches")];
        let tags = [("ec2:CreateTags", "the template is never without its tags")];
        let end = [("ec2:DeleteLaunchTemplate", "the end of each test")];
        let (partition, account) = (self.partition, self.account);
        let regions = self.regions();
        let groups = regions.iter().map(|region| {
            format!(
                "arn:{partition}:autoscaling:{region}:{account}:autoScalingGroup:*:\
                 autoScalingGroupName/{TEST_PREFIX}*"
            )
        });
        let templates = self.at_ec2(&["launch-template"]);
        let new = json!({"StringEquals": {"ec2:CreateAction": "CreateLaunchTemplate"}});
        vec![
            Statement::allow("TestGroup", &group).on(groups.collect::<Vec<_>>()),
            Statement::allow("LookAtTestGroup", &look).on(["*"]),
            Statement::allow("LaunchTestTemplate", &run).on(templates.clone()),
            Statement::allow("TestTemplate", &make).on(templates.clone()),
            Statement::allow("TagTestTemplate", &tags)
                .on(templates.clone())
                .when(new),
            Statement::allow("EndTestTemplate", &end)
                .on(templates)
                .when(self.ours()),
        ]
    }

    fn of_template(&self, template: &LaunchTemplate) -> Vec<Statement> {
        let mut actions = vec![(
            "ec2:CreateLaunchTemplateVersion",
            "the version of the image",
        )];
        if self.wish.set_default_version {
            actions.push(("ec2:ModifyLaunchTemplate", "SetDefaultVersion"));
        }
        let look = [("ec2:DescribeLaunchTemplateVersions", LOOKING)];
        let mut arns = self.at_ec2(&["launch-template"]);
        if let LaunchTemplate::Id(id) = template {
            for arn in &mut arns {
                *arn = arn.replace('*', id.as_str());
            }
        }
        vec![
            Statement::allow("PublishTemplate", &actions).on(arns),
            Statement::allow("LookAtTemplate", &look).on(["*"]),
        ]
    }

    fn of_parameter(&self) -> Vec<Statement> {
        let Some(parameter) = &self.wish.parameter else {
            return Vec::new();
        };
        let actions = [
            ("ssm:GetParameterHistory", LOOKING),
            ("ssm:PutParameter", "Parameter"),
        ];
        let arns: BTreeSet<String> = self
            .targets
            .iter()
            .map(|target| {
                let name = parameter.fill(self.account, &target.region);
                let (partition, region) = (self.partition, &target.region);
                let path = name.trim_start_matches('/');
                format!(
                    "arn:{partition}:ssm:{region}:{}:parameter/{path}",
                    self.account
                )
            })
            .collect();
        vec![Statement::allow("PublishParameter", &actions).on(arns)]
    }
}
