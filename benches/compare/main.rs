//! Waypost beside servers that Debian ships: the same jobs, in turns, on the same disk.
//!
//! ```text
//!   cargo bench --bench compare -- [--quick] [--folder DIR] [nats|redis] [publish|lookup|pull]
//!
//!   main ── options ──► contest: contenders take turns ──► table (stdout, bench-report/compare.json)
//!                          ▲
//!        ours, nats, redis ┴ servers of their own (server), closed-loop lanes (lanes)
//!                            connections: wire (sockets, TLS) ◄── nats_protocol, redis_protocol
//! ```
//!
//! Servers are processes on free ports of loopback; the load generator is this process, one thread
//! for everybody. The clients of NATS and Redis are small ones of our own: they do no more than the
//! job needs, and the official ones would change the features of the crates that Waypost itself is
//! built of (tokio, bytes, aws-lc-rs). Waypost is driven through its public client.

mod contest;
mod lanes;
mod nats;
mod nats_protocol;
mod options;
mod ours;
mod redis;
mod redis_protocol;
mod server;
mod table;
mod wire;
mod work;

use std::process::ExitCode;

use options::Options;
use server::Place;
use wire::Result;

fn main() -> ExitCode {
    let Some(options) = Options::read() else {
        // As a test there is nothing to do.
        return ExitCode::SUCCESS;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let ended = runtime.block_on(async {
        match &options.respond {
            Some(responder) => nats::respond(responder).await,
            None => compare(&options).await,
        }
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn compare(options: &Options) -> Result<()> {
    let place = Place::new(options.folder.as_deref())?;
    let nats = match options.wants("nats") {
        true => nats::start(&place, &options.nats_server).await?,
        false => vec![],
    };
    let redis = match options.wants("redis") {
        true => redis::start(&place, &options.redis_server).await?,
        false => None,
    };
    if nats.is_empty() && redis.is_none() {
        println!("There is nothing to compare with.");
        return Ok(());
    }
    let ours = ours::Ours::start(&place).await?;
    let mut out = table::Output::new()?;
    for work in options.works() {
        let mut contenders = vec![ours.contender(work).await?];
        for nats in &nats {
            contenders.extend(nats.contenders(work).await?);
        }
        if let Some(redis) = &redis {
            contenders.extend(redis.contenders(work).await?);
        }
        out.show(
            work,
            contest::hold(&place, work, contenders, options).await?,
        )?;
    }
    out.end();
    Ok(())
}
