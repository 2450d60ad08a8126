//! `nodebpf explain`: the page of an error code.

use super::{
    Exit,
    args::ExplainArgs,
    io,
    session::{Session, WrongUsage},
};
use crate::diag::{pages, shown};

pub(super) fn run(args: &ExplainArgs, _: &mut Session) -> anyhow::Result<Exit> {
    let Some(code) = &args.code else {
        io::print(pages::ALL.as_bytes())?;
        return Ok(Exit::Done);
    };
    let Some(page) = pages::page(code) else {
        let code = shown(code);
        let message = format!("explaining `{code}`: no such code; codes look like NB0402, and `--all` prints all");
        return Err(WrongUsage(message).into());
    };
    io::print(format!("{page}\n").as_bytes())?;
    Ok(Exit::Done)
}
