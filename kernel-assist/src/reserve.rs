//! Ports that the system does not hand out by itself (`net.ipv4.ip_local_reserved_ports`).
//!
//! A socket that asks for any port gets one of `net.ipv4.ip_local_port_range`, which often overlaps
//! the media ports. A steered port has no socket that shows the system that it is in use. So the
//! media ports are reserved while the relay runs (spec: dataplane §5.1). The setting belongs to the
//! network namespace and holds for IPv4 and IPv6.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// File of the system's list.
const LIST: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";

/// Media ports reserved for this process; those that were not reserved before are given back when
/// it is dropped.
#[derive(Debug)]
pub struct Reservation {
    list: PathBuf,
    ours: Ports,
}

impl Reservation {
    /// Adds these ports to the reserved ones of the network namespace of the calling thread. What
    /// is reserved already stays so, and is not given back.
    ///
    /// # Errors
    /// The system's: without CAP_NET_ADMIN, or with `/proc/sys` read-only as in many containers.
    pub fn add(ranges: &[RangeInclusive<u16>]) -> io::Result<Self> {
        Self::add_in(Path::new(LIST), ranges)
    }

    fn add_in(list: &Path, ranges: &[RangeInclusive<u16>]) -> io::Result<Self> {
        let reserved = Ports::read(&fs::read_to_string(list)?);
        let mut all = reserved.clone();
        ranges.iter().for_each(|range| all.insert(range.clone()));
        let ours = all.without(&reserved);
        if !ours.is_empty() {
            fs::write(list, all.to_string())?;
        }
        let list = list.to_owned();
        Ok(Self { list, ours })
    }

    /// Gives back what was added, and leaves what others added meanwhile.
    ///
    /// # Errors
    /// The system's: the ports stay reserved then, which takes them only from sockets that ask for
    /// any port.
    pub fn give_back(&mut self) -> io::Result<()> {
        let ours = std::mem::take(&mut self.ours);
        if ours.is_empty() {
            return Ok(());
        }
        let reserved = Ports::read(&fs::read_to_string(&self.list)?);
        // An empty line empties the list; without a line there is no write at all.
        fs::write(&self.list, format!("{}\n", reserved.without(&ours)))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.give_back();
    }
}

/// The ranges of a list as the system writes them, `5000,30000-39999`; what is neither a port nor a
/// range is left out.
pub fn ranges(list: &str) -> impl Iterator<Item = RangeInclusive<u16>> {
    list.trim().split(',').filter_map(|entry| {
        let (low, high) = entry.split_once('-').unwrap_or((entry, entry));
        Some(low.trim().parse().ok()?..=high.trim().parse().ok()?)
    })
}

/// A set of ports; a bit for each.
#[derive(Clone, PartialEq, Eq)]
struct Ports(Box<[u64; 1024]>);

impl Default for Ports {
    fn default() -> Self {
        Self(Box::new([0; 1024]))
    }
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ports({self})")
    }
}

impl Ports {
    /// Reads `5000,30000-39999`; what is neither a port nor a range is left out.
    fn read(text: &str) -> Self {
        let mut ports = Self::default();
        ranges(text).for_each(|range| ports.insert(range));
        ports
    }

    fn insert(&mut self, range: RangeInclusive<u16>) {
        for port in range {
            if let Some(word) = self.0.get_mut(usize::from(port / 64)) {
                *word |= 1 << (port % 64);
            }
        }
    }

    fn contains(&self, port: u16) -> bool {
        let word = self.0.get(usize::from(port / 64));
        word.is_some_and(|word| word >> (port % 64) & 1 == 1)
    }

    fn without(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        for (word, taken) in rest.0.iter_mut().zip(other.0.iter()) {
            *word &= !taken;
        }
        rest
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

/// The form that the system uses: ascending ranges between commas.
impl std::fmt::Display for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut port = 0u32;
        let mut is_first = true;
        let is_in = |port: u32| u16::try_from(port).is_ok_and(|port| self.contains(port));
        while port <= u32::from(u16::MAX) {
            if !is_in(port) {
                port += 1;
                continue;
            }
            let low = port;
            while is_in(port + 1) {
                port += 1;
            }
            if !std::mem::take(&mut is_first) {
                f.write_char(',')?;
            }
            match low == port {
                true => write!(f, "{low}")?,
                false => write!(f, "{low}-{port}")?,
            }
            port += 2;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct List(PathBuf);

    impl List {
        fn new(name: &str, text: &str) -> Self {
            let path = std::env::temp_dir().join(format!("windlass-{name}-{}", std::process::id()));
            fs::write(&path, text).unwrap();
            Self(path)
        }

        fn read(&self) -> String {
            fs::read_to_string(&self.0).unwrap().trim().to_owned()
        }
    }

    impl Drop for List {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn the_text_of_the_system_is_read_and_written() {
        for text in ["", "0", "80,90-99", "0-65535", "5060,30000-39999,65535"] {
            assert_eq!(Ports::read(&format!("{text}\n")).to_string(), text);
        }
        assert_eq!(Ports::read("10-12,11-14,x,9,70000").to_string(), "9-14");
    }

    #[test]
    fn what_was_there_stays_and_ours_is_given_back() {
        let list = List::new("reserved", "5060,30500-30600\n");
        let reservation = Reservation::add_in(&list.0, &[30_000..=30_999]).unwrap();
        assert_eq!(list.read(), "5060,30000-30999");
        // Somebody else reserves a port meanwhile.
        fs::write(&list.0, "5060,8080,30000-30999\n").unwrap();
        drop(reservation);
        assert_eq!(list.read(), "5060,8080,30500-30600");
    }

    #[test]
    fn reserved_ports_are_left_as_they_are() {
        let list = List::new("kept", "30000-39999\n");
        let reservation = Reservation::add_in(&list.0, &[30_000..=30_999]).unwrap();
        drop(reservation);
        assert_eq!(list.read(), "30000-39999");
    }

    #[test]
    fn a_list_that_cannot_be_read_is_an_error() {
        assert!(Reservation::add_in(Path::new("/nonexistent/list"), &[1..=2]).is_err());
    }
}
