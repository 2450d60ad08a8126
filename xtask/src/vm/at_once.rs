//! Do the same to several things at once, no more of them at a time than this machine has cores.
//!
//! In:  things, and what is done to one.
//! Out: one result for each thing, in the order of the things.
//! A piece of work that panics takes none of the others with it.

use std::{
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use anyhow::{Result, anyhow};

/// Does `work` to all of `items`.
pub(crate) fn at_once<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Result<R> + Sync) -> Vec<Result<R>> {
    // One core when the machine does not say: slower, and never wrong.
    at_most(thread::available_parallelism().map_or(1, NonZero::get), items, work)
}

fn at_most<T: Sync, R: Send>(limit: usize, items: &[T], work: impl Fn(&T) -> Result<R> + Sync) -> Vec<Result<R>> {
    let next = AtomicUsize::new(0);
    let mut results: Vec<Option<Result<R>>> = items.iter().map(|_| None).collect();
    thread::scope(|scope| {
        let worker = || {
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(at) else { break done };
                let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(item)));
                done.push((at, caught.unwrap_or_else(|_| Err(anyhow!("it panicked; the message stands above")))));
            }
        };
        let workers: Vec<_> = (0..limit.min(items.len())).map(|_| scope.spawn(worker)).collect();
        for (at, result) in workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()) {
            results[at] = Some(result);
        }
    });
    results.into_iter().map(|result| result.unwrap_or_else(|| Err(anyhow!("it was not begun")))).collect()
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, time::Duration};

    use super::*;

    #[test]
    fn two_run_at_the_same_time() {
        let both = Barrier::new(2);
        // Each waits for the other: one after the other would never end.
        let results = at_most(2, &[1, 2], |item| {
            both.wait();
            Ok(item * 10)
        });
        assert_eq!(results.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [10, 20]);
    }

    #[test]
    fn no_more_run_than_the_limit_allows() {
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let results = at_most(2, &[(); 6], |()| {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(5));
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        });
        assert!(results.len() == 6 && most.into_inner() <= 2);
    }

    #[test]
    fn a_failure_of_one_does_not_hide_the_others() {
        let results = at_most(1, &["fails", "panics", "works"], |item| match *item {
            "fails" => Err(anyhow!("no kernel")),
            "panics" => panic!("on purpose"),
            other => Ok(other),
        });
        let texts: Vec<String> = results
            .into_iter()
            .map(|result| result.map_or_else(|error| error.to_string(), ToOwned::to_owned))
            .collect();
        assert_eq!(texts, ["no kernel", "it panicked; the message stands above", "works"]);
    }
}
