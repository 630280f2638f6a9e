//! Tells listeners on the control socket what the loop does.

use lanai_crdt::id::DeviceId;

use super::now_millis;
use super::peers::Outcome;
use super::session::SessionEnd;
use super::tasks::Label;
use crate::control::{Events, Happening};
use crate::net::Multiaddr;

pub(super) fn connected(events: &Events, device: &DeviceId, address: &Multiaddr, outbound: bool) {
    let (device, address) = (device.full(), address.to_string());
    events.tell(now_millis(), Happening::Connected { device, address, outbound });
}

pub(super) fn disconnected(events: &Events, device: &DeviceId) {
    events.tell(now_millis(), Happening::Disconnected { device: device.full() });
}

pub(super) fn began(events: &Events, device: &DeviceId, opened: bool) {
    events.tell(now_millis(), Happening::SessionBegan { device: device.full(), opened });
}

pub(super) fn ended(events: &Events, label: &Label, end: &SessionEnd) {
    let error = match &end.outcome {
        Outcome::Failed { why, .. } => Some(why.clone()),
        Outcome::Done { .. } => None,
    };
    let took = label.started.elapsed().as_millis();
    events.tell(
        now_millis(),
        Happening::SessionEnded {
            device: label.device.full(),
            opened: label.opened,
            received: end.received,
            sent: end.sent,
            bytes_in: end.bytes_in,
            bytes_out: end.bytes_out,
            refused: end.refused.values().sum(),
            took_ms: u64::try_from(took).unwrap_or(u64::MAX),
            error,
        },
    );
    if end.received > 0 {
        arrived(events, end.received, false);
    }
}

pub(super) fn arrived(events: &Events, entries: u64, live: bool) {
    events.tell(now_millis(), Happening::Arrived { entries, live });
}

pub(super) fn written(events: &Events, entries: Option<usize>) {
    let entries = entries.map(|n| n as u64);
    events.tell(now_millis(), Happening::Written { entries });
}

pub(super) fn roster(events: &Events, devices: usize) {
    events.tell(now_millis(), Happening::RosterChanged { devices: devices as u64 });
}

pub(super) fn problem(events: &Events, message: String) {
    events.tell(now_millis(), Happening::Problem { message });
}
