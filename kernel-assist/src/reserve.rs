//! Ports that the system does not hand out by itself (`net.ipv4.ip_local_reserved_ports`).
//!
//! A socket that asks for any port gets one of `net.ipv4.ip_local_port_range`, which often overlaps
//! the media ports. A steered port has no socket that shows the system that it is in use. So the
//! media ports are reserved while the relay runs (spec: dataplane §5.1). The setting belongs to the
//! network namespace and holds for IPv4 and IPv6.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::ops::RangeInclusive;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// File of the system's list.
const LIST: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";

/// Media ports reserved for this process, and given back when it is dropped: those that nobody else
/// reserved, and no other relay of the host needs.
#[derive(Debug)]
pub struct Reservation {
    list: PathBuf,
    ledger: Option<Ledger>,
    ours: Ports,
    /// What others had reserved, where there is no ledger.
    without_ledger: Ports,
}

impl Reservation {
    /// Adds these ports to the reserved ones of the network namespace of the calling thread. What
    /// a relay left reserved that did not end by itself is given back.
    ///
    /// # Errors
    /// The system's: without CAP_NET_ADMIN, or with `/proc/sys` read-only as in many containers.
    pub fn add(ranges: &[RangeInclusive<u16>]) -> io::Result<Self> {
        Self::add_in(Path::new(LIST), Ledger::open(), ranges)
    }

    fn add_in(
        list: &Path,
        ledger: Option<Ledger>,
        ranges: &[RangeInclusive<u16>],
    ) -> io::Result<Self> {
        let mut ours = Ports::default();
        ranges.iter().for_each(|range| ours.insert(range.clone()));
        let mut reservation = Self {
            list: list.to_owned(),
            ledger,
            ours,
            without_ledger: Ports::default(),
        };
        reservation.settle(true)?;
        Ok(reservation)
    }

    /// Gives back what nobody else needs.
    ///
    /// # Errors
    /// The system's: the ports stay reserved then, which takes them only from sockets that ask for
    /// any port.
    pub fn give_back(&mut self) -> io::Result<()> {
        if self.ours.is_empty() {
            return Ok(());
        }
        let settled = self.settle(false);
        self.ours = Ports::default();
        settled
    }

    /// Writes the list anew: what others reserved, and what relays need that are alive. `is_here`:
    /// this one is among them from now on.
    fn settle(&mut self, is_here: bool) -> io::Result<()> {
        let mut book = self.ledger.as_mut().map(Ledger::lock);
        let reserved = Ports::read(&fs::read_to_string(&self.list)?);
        let mut page = match &mut book {
            Some(book) => book.read(),
            // Without a ledger this relay is the only one that it knows of.
            None => Page::default(),
        };
        let me = Holder::of_process(std::process::id());
        if book.is_none() && !is_here {
            page.others = self.without_ledger.clone();
            page.holders.push((me, self.ours.clone()));
        }
        page.turn(&reserved);
        page.holders.retain(|(holder, _)| *holder != me);
        if is_here {
            page.holders.push((me, self.ours.clone()));
        }
        let wanted = page.reserved();
        if wanted != reserved {
            // An empty line empties the list; without a line there is no write at all.
            fs::write(&self.list, format!("{wanted}\n"))?;
        }
        self.without_ledger = page.others.clone();
        if let Some(book) = &mut book {
            book.write(&page);
        }
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.give_back();
    }
}

/// A process, told apart from another one that gets its number later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holder {
    pid: u32,
    /// When it started, in ticks since the start of the system; 0: it is not there.
    started: u64,
}

impl Holder {
    fn of_process(pid: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name of the program, between brackets, may hold anything (proc_pid_stat(5)).
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let started = fields.split_ascii_whitespace().nth(19);
        Self {
            pid,
            started: started.and_then(|it| it.parse().ok()).unwrap_or(0),
        }
    }

    fn is_alive(self) -> bool {
        self.started != 0 && Self::of_process(self.pid) == self
    }
}

/// Who reserved what in a network namespace.
#[derive(Debug, Default)]
struct Page {
    /// Ports that others than relays reserved.
    others: Ports,
    holders: Vec<(Holder, Ports)>,
}

impl Page {
    /// Takes in what is reserved now, and forgets relays that are gone.
    fn turn(&mut self, reserved: &Ports) {
        let mut known = Ports::default();
        self.holders.iter().for_each(|(_, ports)| known.add(ports));
        let mut others = reserved.without(&known);
        others.add(&self.others.intersection(reserved));
        self.others = others;
        self.holders.retain(|(holder, _)| holder.is_alive());
    }

    fn reserved(&self) -> Ports {
        let mut all = self.others.clone();
        self.holders.iter().for_each(|(_, ports)| all.add(ports));
        all
    }

    fn read(text: &str) -> Self {
        let mut page = Self::default();
        for line in text.lines() {
            match line.split(' ').collect::<Vec<_>>().as_slice() {
                ["others", ports] => page.others = Ports::read(ports),
                [pid, started, ports] => {
                    if let (Ok(pid), Ok(started)) = (pid.parse(), started.parse()) {
                        let holder = Holder { pid, started };
                        page.holders.push((holder, Ports::read(ports)));
                    }
                }
                _ => {}
            }
        }
        page
    }
}

impl std::fmt::Display for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "others {}", self.others)?;
        for (Holder { pid, started }, ports) in &self.holders {
            writeln!(f, "{pid} {started} {ports}")?;
        }
        Ok(())
    }
}

/// A file that the relays of a network namespace share. It is kept open: a process that has given up
/// its rights could not open it again.
#[derive(Debug)]
struct Ledger(File);

impl Ledger {
    /// `None` where there is no place for it: another relay is not known then, nor one that was killed.
    fn open() -> Option<Self> {
        let namespace = fs::metadata("/proc/thread-self/ns/net").ok()?.ino();
        Self::at(&PathBuf::from(format!("/run/windlass-ports-{namespace}")))
    }

    fn at(path: &Path) -> Option<Self> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
        file.open(path).ok().map(Self)
    }

    fn lock(&mut self) -> Book<'_> {
        // Without a lock two that start at the same time may take each other for somebody else.
        let _ = self.0.lock();
        Book(&mut self.0)
    }
}

/// A ledger while nobody else writes it.
struct Book<'a>(&'a mut File);

impl Book<'_> {
    fn read(&mut self) -> Page {
        let mut text = String::new();
        let read = self
            .0
            .rewind()
            .and_then(|()| self.0.read_to_string(&mut text));
        read.map_or_else(|_| Page::default(), |_| Page::read(&text))
    }

    fn write(&mut self, page: &Page) {
        let text = page.to_string();
        let written = self
            .0
            .rewind()
            .and_then(|()| self.0.write_all(text.as_bytes()));
        let length = u64::try_from(text.len()).unwrap_or(0);
        if written.and_then(|()| self.0.set_len(length)).is_err() {
            // Half a page would be worse than none.
            let _ = self.0.set_len(0);
        }
    }
}

impl Drop for Book<'_> {
    fn drop(&mut self) {
        let _ = self.0.unlock();
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

    fn add(&mut self, other: &Self) {
        for (word, added) in self.0.iter_mut().zip(other.0.iter()) {
            *word |= added;
        }
    }

    fn intersection(&self, other: &Self) -> Self {
        let mut both = self.clone();
        for (word, others) in both.0.iter_mut().zip(other.0.iter()) {
            *word &= others;
        }
        both
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
        let reservation = Reservation::add_in(&list.0, None, &[30_000..=30_999]).unwrap();
        assert_eq!(list.read(), "5060,30000-30999");
        // Somebody else reserves a port meanwhile.
        fs::write(&list.0, "5060,8080,30000-30999\n").unwrap();
        drop(reservation);
        assert_eq!(list.read(), "5060,8080,30500-30600");
    }

    #[test]
    fn reserved_ports_are_left_as_they_are() {
        let list = List::new("kept", "30000-39999\n");
        let reservation = Reservation::add_in(&list.0, None, &[30_000..=30_999]).unwrap();
        drop(reservation);
        assert_eq!(list.read(), "30000-39999");
    }

    #[test]
    fn two_relays_share_what_both_need() {
        let list = List::new("shared", "5060\n");
        let book = List::new("shared-book", "");
        let first = Reservation::add_in(&list.0, Ledger::at(&book.0), &[30_000..=30_999]);
        // The other one is a process of its own: this one, under its parent's number.
        let other = Holder::of_process(std::os::unix::process::parent_id());
        let mut page = Page::read(&book.read());
        let mut ports = Ports::default();
        ports.insert(30_500..=31_499);
        page.holders.push((other, ports));
        fs::write(&book.0, page.to_string()).unwrap();
        fs::write(&list.0, "5060,30000-31499\n").unwrap();
        drop(first);
        assert_eq!(list.read(), "5060,30500-31499");
    }

    #[test]
    fn what_a_killed_relay_left_is_given_back() {
        let list = List::new("killed", "5060,30000-30999\n");
        let book = List::new("killed-book", "others 5060\n4194304 77 30000-30999\n");
        let next = Reservation::add_in(&list.0, Ledger::at(&book.0), &[31_000..=31_099]).unwrap();
        assert_eq!(list.read(), "5060,31000-31099");
        drop(next);
        assert_eq!(
            (list.read().as_str(), book.read().as_str()),
            ("5060", "others 5060")
        );
    }

    #[test]
    fn a_damaged_ledger_gives_nothing_away() {
        let list = List::new("damaged", "5060,30000-30999\n");
        let book = List::new("damaged-book", "others x\n1 2\nnonsense\n");
        let next = Reservation::add_in(&list.0, Ledger::at(&book.0), &[31_000..=31_099]).unwrap();
        assert_eq!(list.read(), "5060,30000-31099");
        drop(next);
        assert_eq!(list.read(), "5060,30000-30999");
    }

    #[test]
    fn a_list_that_cannot_be_read_is_an_error() {
        assert!(Reservation::add_in(Path::new("/nonexistent/list"), None, &[1..=2]).is_err());
    }
}
