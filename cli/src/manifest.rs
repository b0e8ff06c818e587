//! The manifest of a distribution: a file that names each AMI, for the next step of a CI job.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::failure::Failure;

/// Refuses a file that cannot be written, before a run begins.
pub fn check(file: Option<&Path>) -> Result<(), Failure> {
    let Some(file) = file else {
        return Ok(());
    };
    let refused = |e: String| Failure::Usage(format!("--manifest: {}: {e}", file.display()));
    if file.is_dir() {
        return Err(refused("is a folder".to_owned()));
    }
    new_beside(file).map_err(|e| refused(e.to_string()))?;
    Ok(())
}

/// Writes the AMIs of a reply into a file, which is there as a whole or as it was.
pub fn write(file: &Path, reply: &Value) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::Failed(format!("{}: {e}", file.display()));
    let mut new = new_beside(file).map_err(failed)?;
    writeln!(new, "{:#}", of(reply)).map_err(failed)?;
    readable_by_all(new.as_file()).map_err(failed)?;
    new.persist(file).map_err(|e| failed(e.error))?;
    Ok(())
}

/// Returns a temporary file, which goes unless it is kept.
fn new_beside(file: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    tempfile::NamedTempFile::new_in(folder)
}

/// A temporary file is its owner's only; the next step of a job may be another user.
fn readable_by_all(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

fn of(reply: &Value) -> Value {
    let result = &reply["Result"];
    let keys = ["AccountId", "Region", "ImageId", "KmsKeyArn", "Snapshots"];
    let targets = result["Targets"].as_array().into_iter().flatten();
    let with_image = targets.filter(|target| target.get("ImageId").is_some());
    let images: Vec<Value> = with_image
        .map(|target| {
            keys.iter()
                .map(|key| (*key, target[*key].clone()))
                .collect()
        })
        .collect();
    let mut manifest = json!({
        "RunId": result["RunId"],
        "Status": reply["Status"],
        "SourceImageId": result["SourceImageId"],
        "Images": images,
    });
    // An execution that fails tells its end in words only.
    if let Some(notice) = reply.get("Notice") {
        manifest["Notice"] = notice.clone();
    }
    manifest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_names_each_ami_and_replaces_the_former_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("images.json");
        let made = json!({"AccountId": "222222222222", "Region": "us-west-2",
            "Status": "Succeeded", "ImageId": "ami-2", "KmsKeyArn": "arn:…:key/k",
            "Snapshots": {"snap-1": "snap-2"}});
        let failed = json!({"AccountId": "333333333333", "Region": "us-west-2",
            "Status": "Failed", "Reason": "why"});
        let reply = json!({"Status": "PartiallySucceeded", "Result": {"RunId": "run",
            "SourceImageId": "ami-1", "Targets": [made, failed]}});
        for _ in 0..2 {
            write(&file, &reply).expect("written");
        }
        let text = std::fs::read_to_string(&file).expect("a manifest");
        let expected = json!({"RunId": "run", "Status": "PartiallySucceeded",
            "SourceImageId": "ami-1", "Images": [{"AccountId": "222222222222",
            "Region": "us-west-2", "ImageId": "ami-2", "KmsKeyArn": "arn:…:key/k",
            "Snapshots": {"snap-1": "snap-2"}}]});
        assert_eq!(
            serde_json::from_str::<Value>(&text).expect("JSON"),
            expected
        );
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("a folder").count(),
            1
        );
    }

    #[test]
    fn a_run_that_ended_in_words_only_has_them_in_its_manifest() {
        let reply = json!({"Status": "PartiallySucceeded", "Notice": "1 of 2 targets"});
        assert_eq!(of(&reply)["Notice"], "1 of 2 targets");
        assert_eq!(of(&reply)["Images"], json!([]));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_refused_before_the_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("images.json");
        check(Some(&file)).expect("a file");
        assert!(!file.exists());
        for wrong in [folder.path(), Path::new("/nowhere/images.json")] {
            let said = check(Some(wrong)).expect_err("no file").to_string();
            let named = format!("--manifest: {}: ", wrong.display());
            assert!(said.starts_with(&named), "{said}");
        }
        check(None).expect("nothing to write");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let said = write(Path::new("/nowhere/images.json"), &json!({})).expect_err("no folder");
        assert!(
            said.to_string().starts_with("/nowhere/images.json: "),
            "{said}"
        );
    }
}
