//! Run: a parent that starts workers and counts their deaths, and the worker's loop.
//!
//! In:   [`Options`]. Out: figures on stdout, crashes as files with the command that repeats them.

use std::{
    any::Any,
    fs::{self, File},
    os::unix::fs::FileExt as _,
    panic::{self, AssertUnwindSafe},
    path::Path,
    process::{Command, ExitCode},
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::{
    Options, mutate,
    mutate::Random,
    targets::{Seeds, Target},
};

/// An input that takes longer is a finding: something in it is not bounded.
const SLOW: Duration = Duration::from_secs(10);

/// What this thread has had of a processor, so that a busy machine makes no input slow: `/proc/thread-self/schedstat`, in
/// nanoseconds (linux `Documentation/scheduler/sched-stats.rst`). Where there is no such file, the time since `started`.
fn processor_time(started: Instant) -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let spent = text.split(' ').next().and_then(|first| first.parse().ok());
    spent.map_or_else(|| started.elapsed(), Duration::from_nanos)
}

/// Findings after which a run ends: more of the same help nobody.
const CRASHES_MAX: u64 = 20;

/// Where the last panic happened; the hook has nobody to return it to.
static PLACE: Mutex<String> = Mutex::new(String::new());

pub(crate) fn run(options: &Options) -> ExitCode {
    if options.file.is_none() && options.only.is_none() && !options.worker {
        return watch(options);
    }
    let seeds = options.target.seeds();
    if let Some(file) = &options.file {
        return one(options.target, &seeds, &fs::read(file).unwrap_or_default());
    }
    if let Some(n) = options.only {
        return one(options.target, &seeds, &input(&seeds, options.seed, n));
    }
    work(options, &seeds)
}

/// Tries one input where a panic may be seen as it is.
fn one(target: Target, seeds: &Seeds, input: &[u8]) -> ExitCode {
    let sound = target.run(seeds, input);
    println!("{}: {} bytes are {}", target.name(), input.len(), if sound { "sound" } else { "refused" });
    ExitCode::SUCCESS
}

/// Starts workers until the time is up: one that dies took its input with it, and the next starts behind that.
fn watch(options: &Options) -> ExitCode {
    let started = Instant::now();
    let name = options.target.name();
    println!("{name}: seed {}, {} seconds", options.seed, options.seconds);
    if let Err(error) = fs::create_dir_all(&options.crashes) {
        eprintln!("making `{}`: {error}", options.crashes.display());
        return ExitCode::from(3);
    }
    let progress = options.crashes.join(format!("{name}.progress"));
    let (mut from, mut failed) = (0, false);
    loop {
        let left = options.seconds.saturating_sub(started.elapsed().as_secs());
        let Ok(ours) = std::env::current_exe() else { return ExitCode::from(3) };
        let status = Command::new(ours)
            .args([name, "--worker", "--seed", &options.seed.to_string(), "--seconds", &left.to_string()])
            .args(["--from", &from.to_string(), "--crashes"])
            .arg(&options.crashes)
            .status();
        match status.map(|status| status.code()) {
            Ok(Some(0)) => break,
            Ok(Some(1)) => {
                failed = true;
                break;
            }
            // Killed by a signal: stack overflow, out of memory, an abort.
            Ok(_) => {
                failed = true;
                let n = read_progress(&progress);
                report(options, n, "the process died", &input(&options.target.seeds(), options.seed, n));
                from = n + 1;
            }
            Err(error) => {
                eprintln!("starting a worker: {error}");
                return ExitCode::from(3);
            }
        }
        if left == 0 {
            break;
        }
    }
    let _ = fs::remove_file(&progress);
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn read_progress(path: &Path) -> u64 {
    let bytes = fs::read(path).unwrap_or_default();
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

fn work(options: &Options, seeds: &Seeds) -> ExitCode {
    let name = options.target.name();
    let Ok(progress) = File::create(options.crashes.join(format!("{name}.progress"))) else { return ExitCode::from(3) };
    panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(String::new, ToString::to_string);
        if let Ok(mut last) = PLACE.lock() {
            *last = place;
        }
    }));
    let started = Instant::now();
    let (mut n, mut sound, mut crashes) = (options.from, 0_u64, 0_u64);
    while started.elapsed().as_secs() < options.seconds && crashes < CRASHES_MAX {
        if progress.write_at(&n.to_le_bytes(), 0).is_err() {
            return ExitCode::from(3);
        }
        let input = input(seeds, options.seed, n);
        let began = processor_time(started);
        match panic::catch_unwind(AssertUnwindSafe(|| options.target.run(seeds, &input))) {
            Ok(true) => sound += 1,
            Ok(false) => {}
            Err(payload) => {
                crashes += 1;
                report(options, n, &words(payload.as_ref()), &input);
            }
        }
        let took = processor_time(started).saturating_sub(began);
        if took > SLOW {
            crashes += 1;
            report(options, n, &format!("it took {} s", took.as_secs()), &input);
        }
        n += 1;
    }
    let (count, files) = (n - options.from, seeds.files.len());
    println!("{name}: {count} inputs made of {files} files, {sound} of them sound, {crashes} crashes");
    // A target that takes everything or nothing is not fuzzed, whatever its figures say.
    if count > 1000 && (sound == 0 || sound == count) {
        println!("{name}: the target does not look at its input");
        return ExitCode::FAILURE;
    }
    if crashes == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn words(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    let place = PLACE.lock().map(|place| place.clone()).unwrap_or_default();
    format!("{place}: {}", text.unwrap_or("a panic without words"))
}

/// Writes the input and says how to repeat it.
fn report(options: &Options, n: u64, why: &str, input: &[u8]) {
    let name = options.target.name();
    let path = options.crashes.join(format!("{name}-{}-{n}", options.seed));
    let kept = if fs::write(&path, input).is_ok() { path.display().to_string() } else { "(not written)".to_owned() };
    println!("{name}: input {n}: {why}\n  kept: {kept}\n  again: cargo xtask fuzz --target {name} --file {kept}");
}

/// Input `n` of a run with this seed.
fn input(seeds: &Seeds, seed: u64, n: u64) -> Vec<u8> {
    mutate::input(&seeds.files, seeds.words, &mut Random::of(seed, n))
}
