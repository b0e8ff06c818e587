//! `promote` and `rollback`: a parameter that moves in all targets, or in none.

use super::preflight::ask;
use crate::arguments::{CallArgs, Globals};
use crate::failure::{Failure, code_of};
use crate::print::{List, note, text};
use crate::session::Session;
use crate::wish::Call;

/// Moves a parameter, or with no `--apply` tells what would move.
pub async fn channel<C: Call>(globals: &Globals, args: &CallArgs<C>) -> Result<u8, Failure> {
    let session = Session::open(globals, None).await?;
    let event = args.rule.read(&session.region, args.apply)?;
    let reply = ask(&session, &event).await?;
    let mut list = List::new(&[
        "ACCOUNT",
        "REGION",
        "PARAMETER",
        "STATUS",
        "AMI",
        "BEFORE",
        "WHY",
    ]);
    let mut moves = 0;
    for target in reply["Targets"].as_array().into_iter().flatten() {
        moves += usize::from(target["Status"] == "WouldMove");
        let cells = [
            "AccountId",
            "Region",
            "Parameter",
            "Status",
            "ImageId",
            "FormerImageId",
            "Reason",
        ];
        list.add(
            cells.map(|cell| text(target, cell)).to_vec(),
            target.clone(),
        );
    }
    list.print(globals.output, &reply, "No targets.")?;
    if moves > 0 && !args.apply {
        note(globals, "Nothing was changed; --apply does it.");
    }
    Ok(code_of(&reply))
}
