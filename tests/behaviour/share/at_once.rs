//! Shares that several requests add to.

use super::*;

/// Direct calls for one image form one share. Each knows the openings of the calls before it.
#[tokio::test(start_paused = true)]
async fn shares_of_different_accounts_at_once_add_to_one_share() {
    for seed in 0..40_u64 {
        let delay = std::time::Duration::from_secs(seed % 7);
        let sandbox = Sandbox::new(world(&FOUR).tag_delay(delay));
        let random = std::sync::Mutex::new(fastrand::Rng::with_seed(seed));
        sandbox.set_fault(move |_| {
            let millis = random.lock().unwrap().u64(0..900);
            Fault::Delay(std::time::Duration::from_millis(millis))
        });
        let more = json!({"ShareSnapshots": seed % 2 == 0});
        let lists = [[ONE], [OTHER], ["444444444444"]].map(|list| share(&list, &more));
        let giving = lists.each_ref().map(|list| to_the_end(&sandbox, list));
        for reply in futures::future::join_all(giving).await {
            assert_eq!(reply["Status"], "Succeeded", "seed {seed}: {reply}");
        }
        let all = [ONE, OTHER, "444444444444"];
        assert_eq!(launching(&sandbox), accounts(&all), "seed {seed}");
        // Tags that showed late show by now.
        tokio::time::sleep(std::time::Duration::from_mins(1)).await;
        let mut back = share(&all, &more);
        back["Distribute"]["Unshare"] = json!(true);
        let reply = to_the_end(&sandbox, &back).await;
        assert_eq!(reply["Status"], "Succeeded", "seed {seed}: {reply}");
        assert_closed(&sandbox);
    }
}

/// Changes a share with many accounts on an image that has tags of its own.
#[tokio::test(start_paused = true)]
async fn a_share_with_370_accounts_grows_and_shrinks_on_a_tagged_image() {
    let many: Vec<String> = (0..370)
        .map(|n| format!("{:012}", 600_000_000_000_u64 + n))
        .collect();
    let mut source = producer();
    for n in 0..18 {
        source.images[0]
            .tags
            .insert(format!("own-{n}"), "theirs".to_owned());
    }
    let world = many.iter().fold(world_with(source, &TWO), |world, id| {
        world.account(amiferry_sandbox::Account::new(id))
    });
    let sandbox = Sandbox::new(world);
    let by_hand = json!({"KeyAccess": "None"});
    let ids: Vec<&str> = many.iter().map(String::as_str).collect();
    let asked = |ids: &[&str], back: bool| {
        let mut event = share(ids, &by_hand);
        event["Distribute"]["Unshare"] = json!(back);
        event
    };
    // The last accounts are added one by one.
    let (first, later) = ids.split_at(350);
    for some in std::iter::once(first).chain(later.chunks(1)) {
        let reply = to_the_end(&sandbox, &asked(some, false)).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
    }
    assert_eq!(launching(&sandbox), accounts(&ids));
    // Removes accounts from all over the list.
    let gone: Vec<&str> = ids.iter().copied().step_by(17).collect();
    let stay: Vec<&str> = ids
        .iter()
        .copied()
        .filter(|id| !gone.contains(id))
        .collect();
    let reply = to_the_end(&sandbox, &asked(&gone, true)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(launching(&sandbox), accounts(&stay));
    let reply = to_the_end(&sandbox, &asked(&stay, true)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_closed(&sandbox);
}

/// Requests at the same moment differ, and each adds to the one share in its own way.
#[tokio::test(start_paused = true)]
async fn shares_in_different_ways_at_once_add_to_one_share() {
    for seconds in [0, 1] {
        let sandbox = Sandbox::new(world(&TWO));
        sandbox.set_fault(move |call| match call.operation.as_str() {
            "ModifyImageAttribute" => Fault::Delay(Duration::from_secs(3)),
            _ => Fault::None,
        });
        let whole = share(&[ONE], &json!({"ShareSnapshots": true}));
        let image = share(&[OTHER], &json!({}));
        let later = async {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            to_the_end(&sandbox, &image).await
        };
        let (one, other) = tokio::join!(to_the_end(&sandbox, &whole), later);
        assert_eq!(one["Status"], "Succeeded", "{one}");
        assert_eq!(other["Status"], "Succeeded", "{other}");
        assert_eq!(launching(&sandbox), accounts(&[ONE, OTHER]));
        let only = BTreeSet::from([ONE.to_owned()]);
        assert_eq!(on_snapshots(&sandbox), [only.clone(), only]);
    }
}
