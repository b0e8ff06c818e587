//! China and GovCloud: whole copies in partitions of their own, and nothing between them.

use std::time::Duration;

use amiferry_sandbox::{
    Account, BlockDeviceMapping, Ebs, Image, Key, Organization, Role, Sandbox, Snapshot, User,
    World,
};
use bytes::Bytes;
use http::Request;
use serde_json::json;

use crate::client::Client;
use crate::policies::{document, permit};
use crate::refused_keys::COPYING;

const PRODUCER: &str = "111111111111";
const CONSUMER: &str = "222222222222";
const COMMERCIAL: &str = "333333333333";
const ROOT: &str = "snap-0000000000000c001";
const IMAGE: &str = "ami-0000000000000c001";

struct Place {
    partition: &'static str,
    /// The Regions of the source and of the copy.
    regions: [&'static str; 2],
    suffix: &'static str,
}

const CHINA: Place = Place {
    partition: "aws-cn",
    regions: ["cn-north-1", "cn-northwest-1"],
    suffix: "amazonaws.com.cn",
};
const GOVCLOUD: Place = Place {
    partition: "aws-us-gov",
    regions: ["us-gov-west-1", "us-gov-east-1"],
    suffix: "amazonaws.com",
};

fn account(place: &Place, id: &str) -> Account {
    let admin = format!("arn:{}:iam::{id}:user/admin", place.partition);
    Account::new(id)
        .partition(place.partition)
        .parent("r-ab12")
        .user(User::admin("admin"))
        .access_key(&format!("AKIA{id}"), id, &admin)
}

fn world(place: &Place) -> World {
    let [source, target] = place.regions;
    let ferry = format!("arn:{}:iam::{PRODUCER}:user/admin", place.partition);
    let snapshot = Snapshot::new(source, ROOT, 8)
        .key("source")
        .shared_with(CONSUMER);
    let mapping = BlockDeviceMapping::ebs("/dev/xvda", Ebs::snapshot(ROOT).gp3(8, 3000, 125));
    let producer = account(place, PRODUCER)
        .key(Key::new(source, "source"))
        .snapshot(snapshot)
        .image(Image::new(source, IMAGE, "golden").mapping(mapping));
    let consumer = account(place, CONSUMER)
        .role(Role::admin("Copier").trusts(&ferry))
        .key(Key::new(target, "target").alias("alias/amis"));
    let admin = format!("arn:aws:iam::{COMMERCIAL}:user/admin");
    let commercial = Account::new(COMMERCIAL)
        .user(User::admin("admin"))
        .role(Role::admin("Copier").trusts(&ferry))
        .access_key("AKIACOMMERCIAL", "commercial", &admin);
    World::new()
        .organization(Organization::new("o-a1b2c3d4e5", PRODUCER, "r-ab12"))
        .account(producer)
        .account(consumer)
        .account(commercial)
}

fn client(sandbox: &Sandbox, id: &str, region: &str) -> Client {
    Client::new(sandbox, region, &format!("AKIA{id}"), id)
}

#[tokio::test(start_paused = true)]
async fn a_copy_completes_inside_its_partition() {
    for place in [CHINA, GOVCLOUD] {
        let sandbox = Sandbox::new(world(&place));
        let (partition, [west, east]) = (place.partition, place.regions);
        let producer = client(&sandbox, PRODUCER, west);
        let role = format!("arn:{partition}:iam::{CONSUMER}:role/Copier");
        let grant = json!({"KeyId": "source", "GranteePrincipal": role,
            "Operations": COPYING});
        producer.kms("CreateGrant", grant).await.ok();
        let copier = producer.assume(&role, &[]).await.in_region(east);
        let who = copier.sts("GetCallerIdentity", &[]).await.ok();
        let arn = format!("arn:{partition}:sts::{CONSUMER}:assumed-role/Copier/test");
        assert_eq!(who.text("Arn"), Some(arn));
        let asked = [
            ("SourceRegion", west),
            ("SourceSnapshotId", ROOT),
            ("Encrypted", "true"),
            ("KmsKeyId", "alias/amis"),
        ];
        let signed = [&asked[..], &[("DestinationRegion", east)]].concat();
        let url = copier.in_region(west).presigned(&signed);
        let params = [&asked[..], &[("PresignedUrl", url.as_str())]].concat();
        let copy = copier.ec2("CopySnapshot", &params).await.ok();
        let copy = copy.text("snapshotId").expect("a snapshot");
        tokio::time::sleep(Duration::from_mins(50)).await;
        let wanted = [("SnapshotId.1", copy.as_str())];
        let shown = copier.ec2("DescribeSnapshots", &wanted).await.ok();
        assert_eq!(
            shown.text("status").as_deref(),
            Some("completed"),
            "{shown:?}"
        );
        let key = format!("arn:{partition}:kms:{east}:{CONSUMER}:key/target");
        assert_eq!(shown.text("kmsKeyId"), Some(key));
        let register = [
            ("Name", "golden"),
            ("RootDeviceName", "/dev/xvda"),
            ("Architecture", "x86_64"),
            ("VirtualizationType", "hvm"),
            ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
            ("BlockDeviceMapping.1.Ebs.SnapshotId", &copy),
        ];
        copier.ec2("RegisterImage", &register).await.ok();
        assert_eq!(sandbox.images(CONSUMER, east).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_of_another_partition_are_refused() {
    let sandbox = Sandbox::new(world(&CHINA));
    let china = client(&sandbox, PRODUCER, "us-west-2");
    let commercial = Client::new(&sandbox, "cn-north-1", "AKIACOMMERCIAL", "commercial");
    for client in [china, commercial] {
        for (code, answer) in [
            ("AuthFailure", client.ec2("DescribeRegions", &[]).await),
            (
                "InvalidClientTokenId",
                client.sts("GetCallerIdentity", &[]).await,
            ),
            (
                "UnrecognizedClientException",
                client.kms("ListAliases", json!({})).await,
            ),
        ] {
            assert_eq!(answer.code.as_deref(), Some(code), "{answer:?}");
        }
    }
    // Roles, keys, Regions and organizations do not cross partitions either.
    let china = client(&sandbox, PRODUCER, "cn-north-1");
    let role = format!("arn:aws:iam::{COMMERCIAL}:role/Copier");
    let params = [("RoleArn", role.as_str()), ("RoleSessionName", "test")];
    let answer = china.sts("AssumeRole", &params).await;
    assert_eq!(answer.refusal.as_deref(), Some("STS_ACCESS_DENIED"));
    for grantee in [role, format!("arn:aws:iam::{CONSUMER}:root")] {
        let grant =
            json!({"KeyId": "source", "GranteePrincipal": grantee, "Operations": ["Decrypt"]});
        let answer = china.kms("CreateGrant", grant).await;
        assert_eq!(answer.refusal.as_deref(), Some("GRANTEE_INVALID"));
    }
    let key = json!({"KeyId": format!("arn:aws:kms:cn-north-1:{PRODUCER}:key/source")});
    let answer = china.kms("DescribeKey", key).await;
    assert_eq!(answer.refusal.as_deref(), Some("KEY_INVALID_ARN"));
    let copy = [("SourceRegion", "us-west-2"), ("SourceSnapshotId", ROOT)];
    let answer = china.ec2("CopySnapshot", &copy).await;
    assert_eq!(answer.refusal.as_deref(), Some("COPY_UNKNOWN_REGION"));
    let organization = "organizations::111111111111:organization/o-a1b2c3d4e5";
    for (partition, status) in [("aws-cn", 200), ("aws", 400), ("aws-mars", 400)] {
        let arn = format!("arn:{partition}:{organization}");
        let share = [
            ("ImageId", IMAGE),
            ("LaunchPermission.Add.1.OrganizationArn", arn.as_str()),
        ];
        let answer = china.ec2("ModifyImageAttribute", &share).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let other = client(&sandbox, CONSUMER, "cn-north-1");
    other
        .ec2("DescribeImages", &[("ImageId.1", IMAGE)])
        .await
        .ok();
}

#[tokio::test(start_paused = true)]
async fn each_partition_has_its_own_endpoints_and_regions() {
    for place in [CHINA, GOVCLOUD] {
        let sandbox = Sandbox::new(world(&place));
        let (partition, [west, _]) = (place.partition, place.regions);
        let producer = client(&sandbox, PRODUCER, west);
        let regions = producer.ec2("DescribeRegions", &[]).await.ok();
        let mut names = regions.texts("regionName");
        names.sort();
        let mut expected = place.regions.to_vec();
        expected.sort_unstable();
        assert_eq!(names, expected);
        let endpoint = format!("ec2.{west}.{}", place.suffix);
        assert!(regions.texts("regionEndpoint").contains(&endpoint));
        let (iam, organizations, home) = match partition {
            "aws-cn" => (
                "iam.cn-north-1.amazonaws.com.cn",
                "organizations.cn-northwest-1.amazonaws.com.cn",
                "cn-northwest-1",
            ),
            _ => (
                "iam.us-gov.amazonaws.com",
                "organizations.us-gov-west-1.amazonaws.com",
                "us-gov-west-1",
            ),
        };
        let request = Request::post(format!("https://{iam}/")).body(Bytes::from_static(
            b"Action=CreateServiceLinkedRole&Version=2010-05-08&AWSServiceName=spot.amazonaws.com",
        ));
        let answer = producer.answer(producer.signed("iam", request.expect("a request")));
        let arn = answer.await.ok().text("Arn").expect("an ARN");
        assert!(arn.starts_with(&format!("arn:{partition}:iam::")), "{arn}");
        assert!(sandbox.edit(|aws| aws.act_as_service(&arn)).is_some());
        let request = Request::post(format!("https://{organizations}/"))
            .header(
                "x-amz-target",
                "AWSOrganizationsV20161128.DescribeOrganization",
            )
            .body(Bytes::from_static(b"{}"));
        let there = producer.in_region(home);
        let answer = there.answer(there.signed("organizations", request.expect("a request")));
        let shown = answer.await.ok().json();
        let arn = shown["Organization"]["Arn"]
            .as_str()
            .expect("an ARN")
            .to_owned();
        assert!(arn.starts_with(&format!("arn:{partition}:organizations::")));
    }
    // An endpoint has the suffix of its partition.
    let sandbox = Sandbox::new(world(&CHINA));
    let china = client(&sandbox, PRODUCER, "cn-north-1");
    let request = Request::post("https://ec2.cn-north-1.amazonaws.com/").body(Bytes::from_static(
        b"Action=DescribeRegions&Version=2016-11-15",
    ));
    let answer = china.answer(china.signed("ec2", request.expect("a request")));
    assert_eq!(answer.await.code.as_deref(), Some("AuthFailure"));
}

#[tokio::test(start_paused = true)]
async fn the_managed_key_and_policies_name_their_partition() {
    let sandbox = Sandbox::new(world(&CHINA));
    let consumer = client(&sandbox, CONSUMER, "cn-north-1");
    let own = [("SourceRegion", "cn-north-1"), ("SourceSnapshotId", ROOT)];
    let producer = client(&sandbox, PRODUCER, "cn-north-1");
    // The copy is under the producer's aws/ebs, which EC2 uses by its name in the partition.
    let key = [("Encrypted", "true"), ("KmsKeyId", "alias/aws/ebs")];
    let params = [&own[..], &key[..]].concat();
    let copy = producer.ec2("CopySnapshot", &params).await.ok();
    let copy = copy.text("snapshotId").expect("a snapshot");
    tokio::time::sleep(Duration::from_hours(1)).await;
    let wanted = [("SnapshotId.1", copy.as_str())];
    let shown = producer.ec2("DescribeSnapshots", &wanted).await.ok();
    assert_eq!(shown.text("status").as_deref(), Some("completed"));
    let source = format!("arn:aws-cn:kms:cn-north-1:{PRODUCER}:key/source");
    let describe = json!({"KeyId": source});
    let naming = |partition: &str| {
        let owner = format!("arn:aws-cn:iam::{PRODUCER}:root");
        let named = format!("arn:{partition}:iam::{CONSUMER}:root");
        document(&[permit(&owner, "kms:*"), permit(&named, "kms:DescribeKey")])
    };
    for (partition, status) in [("aws", 400), ("aws-cn", 200)] {
        let put = json!({"KeyId": "source", "Policy": naming(partition).to_string()});
        let answer = producer.kms("PutKeyPolicy", put).await;
        assert_eq!(answer.status, status, "{answer:?}");
        let policy = naming(partition).to_string();
        let changed = sandbox.edit(|aws| aws.set_key_policy(&source, &policy));
        assert_eq!(changed, Ok(true));
        let answer = consumer.kms("DescribeKey", describe.clone()).await;
        assert_eq!(answer.status, status, "{partition}: {answer:?}");
    }
}

#[tokio::test]
async fn a_declared_resource_in_another_partition_is_refused() {
    let china = || Account::new(PRODUCER).partition("aws-cn");
    let organization = Organization::new("o-a1b2c3d4e5", PRODUCER, "r-ab12");
    for (world, key) in [
        (
            World::new().account(Account::new(PRODUCER).partition("aws-mars")),
            "account[0].partition",
        ),
        (
            World::new().account(china().key(Key::new("us-west-2", "k"))),
            "account[0].key[0].region",
        ),
        (
            World::new().account(Account::new(PRODUCER).snapshot(Snapshot::new(
                "cn-north-1",
                ROOT,
                1,
            ))),
            "account[0].snapshot[0].region",
        ),
        (
            World::new()
                .organization(organization)
                .account(china())
                .account(Account::new(CONSUMER).parent("r-ab12")),
            "account[1].partition",
        ),
    ] {
        let error = Sandbox::try_new(world).expect_err(key);
        assert_eq!(error.key, key, "{error}");
    }
}
