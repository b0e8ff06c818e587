//! Launch permissions of the copies, which the function's settings bound.

use amiferry::setup::Settings;
use amiferry_sandbox::LaunchPermission;

use super::*;

const FRIEND: &str = "333333333333";

fn wish() -> Value {
    json!({"LaunchPermissions": {"AccountIds": [FRIEND]}})
}

fn permissions(sandbox: &Sandbox) -> Vec<String> {
    let mut images = sandbox.images(PLACE.0, PLACE.1).into_iter();
    let image = images.next().expect("the copy");
    assert!(!image.public);
    let permissions = image.launch_permissions.into_iter();
    permissions
        .map(|permission| match permission {
            LaunchPermission::User(account) => account,
            other => format!("{other:?}"),
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn accounts_may_launch_from_the_copy_and_nobody_else() {
    let sandbox = Sandbox::new(publishing_world(&[PLACE]));
    let event = publishing(&[PLACE], &wish());
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(permissions(&sandbox), [FRIEND]);
    assert_closed(&sandbox);
    sandbox.clear_ledger();
    to_the_end(&sandbox, &event).await;
    assert_eq!(calls(&sandbox, "ModifyImageAttribute"), 0);
}

#[tokio::test(start_paused = true)]
async fn launch_permissions_need_the_settings_of_a_share() {
    let bare = |settings: Settings| Settings {
        allowed_organization: None,
        ..settings
    };
    let cases = [
        (
            "AMIFERRY_ALLOW_SHARE",
            Settings {
                allow_share: None,
                ..settings()
            },
        ),
        (
            "AMIFERRY_ALLOWED_ACCOUNTS",
            Settings {
                allowed_accounts: Some("222222222222".to_owned()),
                ..bare(settings())
            },
        ),
    ];
    for (setting, settings) in cases {
        let sandbox = Sandbox::new(publishing_world(&[PLACE]));
        let event = publishing(&[PLACE], &wish()).to_string();
        let function = function_with(&sandbox, settings).await;
        let refused = function.handle(&event, &invocation(&sandbox)).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(setting), "{refused}");
        assert_eq!(calls(&sandbox, "AssumeRole"), 0);
    }
}

/// A state may come from anybody who may call the function.
#[tokio::test(start_paused = true)]
async fn a_state_with_forged_launch_permissions_opens_nothing() {
    let sandbox = Sandbox::new(publishing_world(&[PLACE]).copy_mib_per_second(250.0));
    let event = publishing(&[PLACE], &wish());
    let mut reply = call(&sandbox, &event).await.expect("a reply");
    let stranger = json!(["999999999990"]);
    reply["State"]["Order"]["Publish"]["LaunchPermissions"]["AccountIds"] = stranger;
    let reply = to_the_end(&sandbox, &json!({"State": reply["State"]})).await;
    let told = target(&reply, PLACE);
    assert_eq!(told["Cause"], "NotPublished", "{told}");
    assert!(
        told["Reason"].to_string().contains("999999999990"),
        "{told}"
    );
    assert_eq!(permissions(&sandbox), [""; 0]);
}
