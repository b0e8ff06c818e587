//! The manifest of Packer's post-processor `manifest` as the source of a request.

use serde::Deserialize;

use crate::failure::Failure;

/// The file: the builds of all runs that wrote into it.
#[derive(Debug, Deserialize)]
struct Manifest {
    builds: Vec<Build>,
    #[serde(default)]
    last_run_uuid: String,
}

#[derive(Debug, Deserialize)]
struct Build {
    #[serde(default)]
    builder_type: String,
    /// For AMIs, `REGION:AMI` of each Region, with commas between them.
    #[serde(default)]
    artifact_id: String,
    #[serde(default)]
    packer_run_uuid: String,
}

/// Returns the AMI of the last run, and its Region. Where there are several, `region` or `image`
/// chooses.
pub fn source(
    text: &str,
    file: &str,
    image: Option<&str>,
    region: Option<&str>,
) -> Result<(String, String), Failure> {
    let wrong = |said: String| Failure::Usage(format!("{file}: {said}"));
    let manifest: Manifest = serde_json::from_str(text)
        .map_err(|e| wrong(format!("is not a manifest of Packer: {e}")))?;
    let last = manifest.builds.iter();
    let last = last.filter(|build| build.packer_run_uuid == manifest.last_run_uuid);
    let of_amazon = last.filter(|build| build.builder_type.starts_with("amazon-"));
    let artifacts = of_amazon.flat_map(|build| build.artifact_id.split(','));
    let pairs = artifacts.filter_map(|artifact| artifact.trim().split_once(':'));
    let all: Vec<(&str, &str)> = pairs.collect();
    let chosen: Vec<&(&str, &str)> = all
        .iter()
        .filter(|(at, _)| region.is_none_or(|wanted| *at == wanted))
        .filter(|(_, id)| image.is_none_or(|wanted| *id == wanted))
        .collect();
    match chosen.as_slice() {
        [(region, image)] => Ok(((*image).to_owned(), (*region).to_owned())),
        [] if all.is_empty() => Err(wrong("its last run has built no AMI".to_owned())),
        found => {
            let found = if found.is_empty() {
                all.iter().collect()
            } else {
                found.to_vec()
            };
            let listed: Vec<String> = found.iter().map(|(at, id)| format!("{at}:{id}")).collect();
            Err(wrong(format!(
                "its last run has built {}; choose one by --source-region or --image",
                listed.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn build(artifacts: &str, run: &str) -> Value {
        json!({"name": "golden", "builder_type": "amazon-ebs", "build_time": 1_800_000_000,
            "files": null, "artifact_id": artifacts, "packer_run_uuid": run, "custom_data": {}})
    }

    fn read(builds: &[Value], image: Option<&str>, region: Option<&str>) -> Result<String, String> {
        let manifest = json!({"builds": builds, "last_run_uuid": "two"}).to_string();
        source(&manifest, "manifest.json", image, region)
            .map(|(image, region)| format!("{image} {region}"))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn the_ami_of_the_last_run_is_the_source() {
        let mut container = build("sha256:0123", "two");
        container["builder_type"] = json!("docker");
        let builds = [
            build("us-west-2:ami-1", "one"),
            container,
            build("us-west-2:ami-2", "two"),
        ];
        assert_eq!(read(&builds, None, None), Ok("ami-2 us-west-2".to_owned()));
    }

    #[test]
    fn one_of_several_amis_is_chosen_by_its_region_or_id() {
        let builds = [build("us-west-2:ami-2,eu-west-1:ami-3", "two")];
        let chosen = Ok("ami-3 eu-west-1".to_owned());
        assert_eq!(read(&builds, None, Some("eu-west-1")), chosen);
        assert_eq!(read(&builds, Some("ami-3"), None), chosen);
        for region in [None, Some("us-east-1")] {
            let said = read(&builds, None, region).expect_err("several");
            assert!(said.contains("us-west-2:ami-2, eu-west-1:ami-3"), "{said}");
            assert!(said.contains("--source-region"), "{said}");
        }
    }

    #[test]
    fn a_manifest_without_an_ami_is_refused() {
        let said = read(&[build("us-west-2:ami-1", "one")], None, None).expect_err("none");
        assert_eq!(said, "manifest.json: its last run has built no AMI");
        let other = source("{}", "other.json", None, None).expect_err("no manifest");
        assert!(
            other
                .to_string()
                .starts_with("other.json: is not a manifest of Packer"),
            "{other}"
        );
    }
}
