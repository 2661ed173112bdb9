//! Slow work off the loop: one helper thread, started for the first job and gone after the last one.
//!
//! Starting a thread costs microseconds, the work it is for (hashing a password, fsync) tens of milliseconds; so it ends
//! as soon as every result was fetched, and at rest there is no thread and no stack.
//! Never does: touching anything of the loop's. A job goes in by value, a result comes out by value.

use crate::sys::process;
use mio::Waker;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Bytes of the helper's stack. bcrypt's state (4 KiB) and sha-crypt's are on the heap or small.
const STACK: usize = 256 * 1024;

/// A helper thread for jobs `J` with results `R`.
pub struct Worker<J, R> {
    name: &'static str,
    queue: usize,
    work: fn(J) -> R,
    waker: Arc<Waker>,
    running: Option<Running<J, R>>,
}

struct Running<J, R> {
    desk: Arc<Desk<J, R>>,
    /// Handed in and not yet fetched.
    open: usize,
}

/// Where both threads put down what is for the other.
struct Desk<J, R> {
    trays: Mutex<Trays<J, R>>,
    /// There is a job, or no further one will come.
    called: Condvar,
}

struct Trays<J, R> {
    jobs: VecDeque<J>,
    results: VecDeque<R>,
    /// The loop wants nothing any more.
    over: bool,
}

impl<J, R> Desk<J, R> {
    /// Nothing is done under the lock that could leave the trays half changed.
    fn trays(&self) -> MutexGuard<'_, Trays<J, R>> {
        self.trays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job; `None` once no further one will come.
    fn job(&self) -> Option<J> {
        let mut trays = self.trays();
        while !trays.over {
            if let Some(job) = trays.jobs.pop_front() {
                return Some(job);
            }
            trays = self.called.wait(trays).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }
}

impl<J, R> Drop for Running<J, R> {
    fn drop(&mut self) {
        self.desk.trays().over = true;
        self.desk.called.notify_one();
    }
}

/// What became of a job that was handed in.
#[derive(Debug)]
pub enum Submit<J> {
    /// Its result will come; the waker wakes the loop then.
    Accepted,
    /// As many wait as may; here it is again.
    Busy(J),
    /// No thread could be started; here it is again, and why.
    Failed(J, io::Error),
}

impl<J: Send + 'static, R: Send + 'static> Worker<J, R> {
    /// A worker that runs `work` on a thread called `name` (15 bytes at most, prctl(2)). At most `queue` jobs are open
    /// at once, running, waiting or done and not fetched; the caller gives the reason for that number.
    pub fn new(name: &'static str, queue: usize, waker: Arc<Waker>, work: fn(J) -> R) -> Self {
        Worker { name, queue, work, waker, running: None }
    }

    /// Hands a job in. Never waits.
    pub fn submit(&mut self, job: J) -> Submit<J> {
        let running = match &mut self.running {
            Some(running) => running,
            none => match start(self.name, Arc::clone(&self.waker), self.work) {
                Ok(running) => none.insert(running),
                Err(e) => return Submit::Failed(job, e),
            },
        };
        if running.open >= self.queue {
            return Submit::Busy(job);
        }
        running.open += 1;
        running.desk.trays().jobs.push_back(job);
        running.desk.called.notify_one();
        Submit::Accepted
    }

    /// A result, in the order of the jobs. Call it until `None` whenever the waker woke the loop.
    pub fn fetch(&mut self) -> Option<R> {
        let running = self.running.as_mut()?;
        let result = running.desk.trays().results.pop_front()?;
        running.open -= 1;
        if running.open == 0 {
            // which ends the thread
            self.running = None;
        }
        Some(result)
    }

    /// Jobs handed in whose results have not been fetched.
    pub fn open(&self) -> usize {
        self.running.as_ref().map_or(0, |r| r.open)
    }
}

fn start<J: Send + 'static, R: Send + 'static>(
    name: &'static str,
    waker: Arc<Waker>,
    work: fn(J) -> R,
) -> io::Result<Running<J, R>> {
    let trays = Trays { jobs: VecDeque::new(), results: VecDeque::new(), over: false };
    let desk = Arc::new(Desk { trays: Mutex::new(trays), called: Condvar::new() });
    let theirs = Arc::clone(&desk);
    let body = move || {
        // Signals are the loop's: they are read from its signalfd.
        let _ = process::block_all_signals();
        while let Some(job) = theirs.job() {
            let result = work(job);
            theirs.trays().results.push_back(result);
            // Cannot fail but for a closed eventfd; then the loop is gone too.
            let _ = waker.wake();
        }
    };
    thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(body)?;
    Ok(Running { desk, open: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll, Token};
    use std::sync::{Barrier, Mutex};
    use std::time::Duration;

    struct Loop<J, R> {
        poll: Poll,
        worker: Worker<J, R>,
    }

    impl<J: Send + 'static, R: Send + 'static> Loop<J, R> {
        fn new(queue: usize, work: fn(J) -> R) -> Self {
            let poll = Poll::new().unwrap();
            let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
            Loop { worker: Worker::new("test", queue, waker, work), poll }
        }

        fn results(&mut self, count: usize) -> Vec<R> {
            let mut events = Events::with_capacity(4);
            let mut results = Vec::new();
            while results.len() < count {
                self.poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
                assert!(!events.is_empty(), "not woken");
                results.extend(std::iter::from_fn(|| self.worker.fetch()));
            }
            results
        }
    }

    #[test]
    fn results_come_in_order_and_wake_the_loop() {
        let mut l = Loop::new(8, |n: u32| n * 2);
        assert_eq!(l.worker.fetch(), None);
        for n in 0..8 {
            assert!(matches!(l.worker.submit(n), Submit::Accepted));
        }
        assert_eq!(l.results(8), [0, 2, 4, 6, 8, 10, 12, 14]);
    }

    #[test]
    fn a_full_queue_says_busy_and_gives_the_job_back() {
        static GATE: Mutex<()> = Mutex::new(());
        static STARTED: Barrier = Barrier::new(2);
        let mut l = Loop::new(2, |n: u32| {
            if n == 1 {
                STARTED.wait();
            }
            drop(GATE.lock());
            n
        });
        let closed = GATE.lock().unwrap();
        assert!(matches!(l.worker.submit(1), Submit::Accepted));
        STARTED.wait(); // it runs: the one that runs counts too
        assert!(matches!(l.worker.submit(2), Submit::Accepted));
        assert!(matches!(l.worker.submit(3), Submit::Busy(3)));
        assert_eq!(l.worker.open(), 2);
        drop(closed);
        assert_eq!(l.results(2), [1, 2]);
        assert_eq!(l.worker.open(), 0);
        assert!(matches!(l.worker.submit(3), Submit::Accepted));
        assert_eq!(l.results(1), [3]);
    }

    #[test]
    fn the_thread_ends_after_the_last_result_and_starts_again() {
        let mut l = Loop::new(2, |()| thread::current().id());
        l.worker.submit(());
        let first = l.results(1);
        assert!(l.worker.running.is_none());
        l.worker.submit(());
        assert_ne!(l.results(1), first);
    }

    #[test]
    fn signals_are_not_for_the_helper() {
        let mut l = Loop::new(1, |()| std::fs::read_to_string("/proc/thread-self/status").unwrap());
        l.worker.submit(());
        let status = l.results(1).remove(0);
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap().trim();
        let blocked = u64::from_str_radix(blocked, 16).unwrap();
        let bit = |signal: i32| blocked >> (signal - 1) & 1;
        assert_eq!((bit(1), bit(2), bit(15)), (1, 1, 1));
    }
}
