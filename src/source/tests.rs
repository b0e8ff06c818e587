use super::*;

/// A change that makes one thing wrong.
type Spoil<T> = fn(&mut T);

const KEY: &str = "arn:aws:kms:us-west-2:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// Returns an image with two encrypted gp3 snapshots and an ephemeral mapping.
pub(crate) fn example() -> Source {
    let snapshot = |id: &str| SourceSnapshot {
        id: SnapshotId::parse(id).unwrap(),
        owner: AccountId::parse("111111111111").unwrap(),
        state: "completed".to_owned(),
        encrypted: true,
        key: KeyArn::parse(KEY).ok(),
        archived: false,
        full_bytes: None,
        description: None,
        tags: BTreeMap::new(),
    };
    let ebs = |device: &str, id: &str| Mapping {
        device_name: device.to_owned(),
        device: Device::Ebs {
            snapshot: Some(SnapshotId::parse(id).unwrap()),
            delete_on_termination: Some(true),
            volume_type: Some("gp3".to_owned()),
            size: Some(8),
            iops: Some(3000),
            throughput: Some(250),
            encrypted: true,
        },
    };
    let image = ImageFacts {
        name: "web".to_owned(),
        state: "available".to_owned(),
        architecture: Some("x86_64".to_owned()),
        virtualization_type: Some("hvm".to_owned()),
        root_device_type: Some("ebs".to_owned()),
        root_device_name: Some("/dev/xvda".to_owned()),
        ena_support: true,
        platform_details: Some("Linux/UNIX".to_owned()),
        usage_operation: Some("RunInstances".to_owned()),
        mappings: vec![
            ebs("/dev/xvda", "snap-0123456789abcdef0"),
            ebs("/dev/sdb", "snap-0123456789abcdef1"),
            Mapping {
                device_name: "/dev/sdc".to_owned(),
                device: Device::Ephemeral("ephemeral0".to_owned()),
            },
        ],
        ..ImageFacts::default()
    };
    Source {
        id: ImageId::parse("ami-0a1b2c3d4e5f60718").unwrap(),
        owner: AccountId::parse("111111111111").unwrap(),
        snapshots: vec![
            snapshot("snap-0123456789abcdef0"),
            snapshot("snap-0123456789abcdef1"),
        ],
        image,
        aws_managed_keys: Vec::new(),
        unusable_keys: Vec::new(),
    }
}

fn copies() -> Vec<SnapshotId> {
    ["snap-1123456789abcdef0", "snap-1123456789abcdef1"]
        .iter()
        .map(|id| SnapshotId::parse(id).unwrap())
        .collect()
}

fn faithful() -> ImageFacts {
    ImageFacts {
        mappings: example().mappings_onto(&copies()),
        ..example().image
    }
}

#[test]
fn a_faithful_copy_has_no_differences() {
    assert_eq!(
        example().differences(&faithful(), &copies()),
        Vec::<String>::new()
    );
}

/// A copy can look right and differ in each of these ways.
#[test]
fn each_difference_of_a_copy_is_found() {
    let spoil: [(&str, Spoil<ImageFacts>); 12] = [
        ("PlatformDetails", |c| c.platform_details = None),
        ("UsageOperation", |c| {
            c.usage_operation = Some("RunInstances:0002".to_owned());
        }),
        ("Architecture", |c| c.architecture = Some("i386".to_owned())),
        ("VirtualizationType", |c| {
            c.virtualization_type = Some("paravirtual".to_owned());
        }),
        ("RootDeviceName", |c| {
            c.root_device_name = Some("/dev/sda1".to_owned());
        }),
        ("SriovNetSupport", |c| {
            c.sriov_net_support = Some("simple".to_owned());
        }),
        ("BootMode", |c| c.boot_mode = Some("uefi".to_owned())),
        ("TpmSupport", |c| c.tpm_support = Some("v2.0".to_owned())),
        ("UefiData", |c| c.uefi_data = Some("x".to_owned())),
        ("EnaSupport", |c| c.ena_support = false),
        ("mapping of /dev/sdc", |c| drop(c.mappings.pop())),
        ("mapping of /dev/xvda", |c| {
            if let Device::Ebs { throughput, .. } = &mut c.mappings[0].device {
                *throughput = None;
            }
        }),
    ];
    for (what, spoil) in spoil {
        let mut copy = faithful();
        spoil(&mut copy);
        let found = example().differences(&copy, &copies());
        assert!(
            found.len() == 1 && found[0].contains(what),
            "{what}: {found:?}"
        );
    }
}

#[test]
fn only_a_weaker_imds_in_the_copy_is_a_difference() {
    let strict = |facts: &mut ImageFacts| facts.imds_support = Some("v2.0".to_owned());
    let mut copy = faithful();
    strict(&mut copy);
    assert!(example().differences(&copy, &copies()).is_empty());
    let mut source = example();
    strict(&mut source.image);
    assert_eq!(source.differences(&faithful(), &copies()).len(), 1);
}

#[test]
fn a_source_that_cannot_be_copied_is_refused_with_the_remedy() {
    let spoil: [(&str, Spoil<Source>); 8] = [
        ("only an available image", |s| {
            s.image.state = "pending".to_owned();
        }),
        ("no EBS snapshot", |s| s.snapshots.clear()),
        ("restore-snapshot-tier", |s| s.snapshots[1].archived = true),
        ("aws ec2 copy-image", |s| s.aws_managed_keys = s.keys()),
        ("belongs to account 999999999999", |s| {
            s.snapshots[0].owner = AccountId::parse("999999999999").unwrap();
        }),
        ("only a completed snapshot", |s| {
            s.snapshots[0].state = "error".to_owned();
        }),
        ("Marketplace", |s| {
            s.image.product_codes = vec!["abc".to_owned()];
        }),
        ("HVM", |s| s.image.kernel = Some("aki-00000000".to_owned())),
    ];
    assert!(example().check_copyable(false).is_ok());
    for (expected, spoil) in spoil {
        let mut source = example();
        spoil(&mut source);
        let message = source.check_copyable(false).unwrap_err().to_string();
        assert!(
            message.contains(expected) && message.starts_with("SourceImageId: "),
            "{message}"
        );
    }
}
