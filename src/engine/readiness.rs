//! What is known of a socket without asking it: edge-triggered readiness (epoll(7)), noted until a call says otherwise.

use std::io::{self, ErrorKind};

/// What the kernel has said, and no call has contradicted since.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Readiness {
    /// The kernel may have bytes for us.
    pub readable: bool,
    /// The kernel may take bytes.
    pub writable: bool,
    /// The last event said that the peer's side is closed or broken: a short read is not the end then, read on.
    pub read_on: bool,
    /// The peer said FIN.
    pub fin: bool,
}

impl Readiness {
    /// Of a new connection: it takes bytes, and the poller tells when it has some.
    pub fn new() -> Readiness {
        Readiness { readable: false, writable: true, read_on: false, fin: false }
    }

    /// What a read into `asked` bytes says: how many bytes came; 0 if none did.
    ///
    /// # Errors
    /// The read's own, but for `WouldBlock`. They end the connection.
    pub fn after_read(&mut self, got: io::Result<usize>, asked: usize) -> io::Result<usize> {
        match got {
            Ok(0) => {
                self.readable = false;
                self.fin = true;
                Ok(0)
            }
            Ok(n) => {
                // a short read empties the socket, and the poller tells when more comes; but FIN or an error may lie
                // behind the data without an event of their own
                if n < asked && !self.read_on {
                    self.readable = false;
                }
                Ok(n)
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                self.read_on = false;
                Ok(0)
            }
            Err(e) => Err(e),
        }
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Readiness::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READABLE: Readiness = Readiness { readable: true, writable: true, read_on: false, fin: false };

    #[test]
    fn a_short_read_waits_for_the_next_event_and_a_whole_one_reads_on() {
        let mut ready = READABLE;
        assert_eq!(ready.after_read(Ok(10), 10).unwrap(), 10);
        assert!(ready.readable, "there may be more");
        assert_eq!(ready.after_read(Ok(9), 10).unwrap(), 9);
        assert!(!ready.readable && !ready.fin);
    }

    #[test]
    fn behind_a_short_read_may_lie_a_fin_that_has_no_event_of_its_own() {
        let mut ready = Readiness { read_on: true, ..READABLE };
        ready.after_read(Ok(3), 10).unwrap();
        assert!(ready.readable, "the event said that the end is there: it is read");
        assert_eq!(ready.after_read(Ok(0), 10).unwrap(), 0);
        assert!(ready.fin && !ready.readable);
    }

    #[test]
    fn what_would_block_is_no_error_and_others_are() {
        let mut ready = Readiness { read_on: true, ..READABLE };
        assert_eq!(ready.after_read(Err(ErrorKind::WouldBlock.into()), 10).unwrap(), 0);
        assert_eq!(ready, Readiness { readable: false, ..READABLE });
        assert!(ready.after_read(Err(ErrorKind::ConnectionReset.into()), 10).is_err());
    }
}
