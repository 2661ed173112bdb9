//! The socket that the driver has of a simulated connection.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::BorrowedFd;

use super::network::{Down, ECONNRESET, ETIMEDOUT, MS, Shared};
use crate::engine::driver::Socket;
use crate::msg::{Evidence, KernelFeatures, TcpHealth, Times};

/// The server's end.
pub struct ServerEnd(pub Shared);

impl Socket for ServerEnd {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut tcp = self.0.borrow_mut();
        if let Some(e) = tcp.failed() {
            return Err(e);
        }
        if tcp.inbox.is_empty() {
            return if tcp.fin_in { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let n = buffer.len().min(tcp.inbox.len());
        for (to, from) in buffer.iter_mut().zip(tcp.inbox.drain(..n)) {
            *to = from;
        }
        Ok(n)
    }

    fn writev(&self, slices: &[IoSlice<'_>], _more: bool) -> io::Result<usize> {
        let mut tcp = self.0.borrow_mut();
        if let Some(e) = tcp.failed() {
            return Err(e);
        }
        let mut room = tcp.send_buffer.saturating_sub(tcp.outgoing.len());
        let (mut taken, mut offered) = (0, 0);
        for slice in slices {
            let n = slice.len().min(room);
            tcp.outgoing.extend(&slice[..n]);
            room -= n;
            taken += n;
            offered += slice.len();
        }
        tcp.blocked |= taken < offered;
        if taken == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let now = tcp.clock.get();
        tcp.transmit(now);
        Ok(taken)
    }

    fn sendfile(&self, _file: BorrowedFd<'_>, _offset: u64, _len: usize) -> io::Result<usize> {
        Ok(0)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        let mut tcp = self.0.borrow_mut();
        tcp.fin_out = Some(tcp.acked + tcp.outgoing.len() as u64);
        let now = tcp.clock.get();
        tcp.transmit(now);
        Ok(())
    }

    fn reset(&self) {
        self.0.borrow_mut().reset_on_close = true;
    }

    fn outq(&self) -> u32 {
        self.0.borrow().outgoing.len() as u32
    }

    fn health(&self) -> TcpHealth {
        let tcp = self.0.borrow();
        let now = tcp.clock.get();
        let ms = |since: u64| Some((now.saturating_sub(since) / MS) as u32);
        let flight = tcp.next - tcp.acked;
        TcpHealth {
            state: if tcp.fin_in { 8 } else { 1 },
            retransmits: tcp.retransmits,
            probes: tcp.probes,
            backoff: tcp.retransmits.max(tcp.probes),
            rto_us: Some(tcp.rto as u32),
            unacked: Some(flight.div_ceil(1448) as u32),
            last_data_recv_ms: ms(tcp.last_data),
            last_ack_recv_ms: ms(tcp.last_ack),
            rtt_us: Some(2 * tcp.latency as u32),
            total_retrans: Some(tcp.resent),
            empty_segs_in: Some(tcp.empty),
            cwnd: Some(10),
            send_window: Some(tcp.edge_of_window.saturating_sub(tcp.acked) as u32),
        }
    }

    fn nudge(&self) -> bool {
        let mut tcp = self.0.borrow_mut();
        let now = tcp.clock.get();
        tcp.probe(now);
        true
    }

    fn prepare_link(&self, _times: &Times, _features: &KernelFeatures) {}

    fn prepare_response(&self, _features: &KernelFeatures) {}

    fn evidence(error: &io::Error, outstanding: bool) -> Option<Evidence> {
        match error.raw_os_error()? {
            ETIMEDOUT if outstanding => Some(Evidence::NoAck),
            ETIMEDOUT => Some(Evidence::Keepalive),
            ECONNRESET => Some(Evidence::Reset),
            _ => None,
        }
    }
}

impl Drop for ServerEnd {
    fn drop(&mut self) {
        let mut tcp = self.0.borrow_mut();
        let now = tcp.clock.get();
        tcp.open = false;
        if tcp.reset_on_close || !tcp.inbox.is_empty() || tcp.error.is_some() {
            tcp.outgoing.clear();
            tcp.down.clear();
            (tcp.rto_at, tcp.probe_at, tcp.next) = (None, None, tcp.acked);
            let at = now + tcp.latency;
            tcp.down.push_back((at, Down::Reset));
        } else {
            tcp.fin_out = tcp.fin_out.or(Some(tcp.acked + tcp.outgoing.len() as u64));
            tcp.transmit(now);
        }
    }
}
