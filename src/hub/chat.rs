//! What may be said and how fast.

use std::rc::Rc;
use std::time::Duration;

use super::bucket::Rate;
use super::{Hub, SayError};
use crate::config::Chat;
use crate::msg::{Effects, EventId, Now, SessionId, What};

/// The least burst: a person who pastes a few lines is no flood, however slow the rate.
const BURST_MIN: u64 = 10;

/// How fast one session may speak.
fn rate(chat: &Chat) -> Rate {
    let count = u64::from(chat.rate.count.max(1));
    let per = u64::try_from(chat.rate.per.as_micros()).unwrap_or(u64::MAX).max(1);
    let each = (per / count).max(1);
    let burst = BURST_MIN.max(1_000_000 / each);
    Rate { burst: u32::try_from(burst).unwrap_or(u32::MAX), each: Duration::from_micros(each) }
}

impl Hub {
    /// Says `text` to all, as the member `id`. Line breaks at its end are dropped. Once this returns, it is in the log.
    ///
    /// # Errors
    /// See [`SayError`]; nothing was said then.
    pub(super) fn say(&mut self, now: Now, id: SessionId, text: &str, fx: &mut Effects) -> Result<EventId, SayError> {
        let text = text.trim_end_matches(['\r', '\n']);
        if text.trim().is_empty() {
            return Err(SayError::Empty);
        }
        // Characters are at most four times fewer than bytes: no need to count what is far too long.
        let max = self.settings.chat.text_max;
        if text.len() / 4 > max || text.chars().count() > max {
            return Err(SayError::TooLong);
        }
        let from = self.member(id).ok_or(SayError::NoSeat)?;
        let session = self.sessions.get_mut(id).ok_or(SayError::NoSeat)?;
        let rate = rate(&self.settings.chat);
        let retry_after = session.bucket.wait(now.mono, rate);
        if !retry_after.is_zero() {
            return Err(SayError::TooFast { retry_after });
        }
        session.bucket.take(now.mono, rate, 1);
        session.active = now.mono;
        self.counters.said += 1;
        Ok(self.record(now, What::Said { from, text: Rc::from(text) }, fx))
    }
}
