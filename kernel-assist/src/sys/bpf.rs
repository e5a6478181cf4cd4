//! bpf(2): what aya does not offer for maps and links that come from another process.

use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use aya::Pod;

const MAP_CREATE: libc::c_int = 0;
const MAP_LOOKUP_ELEM: libc::c_int = 1;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const MAP_DELETE_ELEM: libc::c_int = 3;
const MAP_GET_NEXT_KEY: libc::c_int = 4;
const PROG_TEST_RUN: libc::c_int = 10;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const LINK_CREATE: libc::c_int = 28;

/// `BPF_NOEXIST`: an update makes a new entry, or fails.
pub(crate) const NO_EXIST: u64 = 1;
/// `BPF_EXIST`: an update changes an entry, or fails.
pub(crate) const EXIST: u64 = 2;

/// Types of maps (`enum bpf_map_type`).
pub(crate) const TYPE_HASH: u32 = 1;
/// See [`TYPE_HASH`].
pub(crate) const TYPE_ARRAY: u32 = 2;
/// See [`TYPE_HASH`].
pub(crate) const TYPE_ARRAY_OF_MAPS: u32 = 12;

/// `union bpf_attr`, as far as any command here reads it.
type Attributes = [u64; 16];

/// # Safety
/// Every address among the attributes is that of memory as long as the command reads or writes.
unsafe fn bpf(command: libc::c_int, attributes: &mut Attributes) -> io::Result<libc::c_long> {
    // SAFETY: the attributes are as long as said; what they point at is the caller's promise.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_mut_ptr(),
            size_of::<Attributes>(),
        )
    };
    match result {
        0.. => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Two 32-bit fields that follow each other.
fn pair(first: u32, second: u32) -> u64 {
    let [[a, b, c, d], [e, f, g, h]] = [first.to_ne_bytes(), second.to_ne_bytes()];
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    u32::try_from(fd.as_raw_fd()).unwrap_or(u32::MAX)
}

fn owned(descriptor: libc::c_long) -> io::Result<OwnedFd> {
    let descriptor = i32::try_from(descriptor).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it, for this call alone.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// What the system says of a map (the begin of `struct bpf_map_info`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MapInfo {
    pub(crate) kind: u32,
    pub(crate) id: u32,
    pub(crate) key_bytes: u32,
    pub(crate) value_bytes: u32,
    pub(crate) entries: u32,
    pub(crate) flags: u32,
}

/// What the system says of a program (the begin of `struct bpf_prog_info`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProgramInfo {
    pub(crate) kind: u32,
    pub(crate) id: u32,
    pub(crate) tag: [u8; 8],
}

/// What the system says of a link (the begin of `struct bpf_link_info`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LinkInfo {
    pub(crate) kind: u32,
    pub(crate) id: u32,
    pub(crate) program: u32,
    padding: u32,
    /// Of tcx and XDP: index of the interface; 0 once that is gone.
    pub(crate) interface: u32,
    /// Of tcx.
    pub(crate) attach_type: u32,
}

/// Structures of which the kernel fills as many bytes as it is told.
pub(crate) trait Info: Copy + Default {}
impl Info for MapInfo {}
impl Info for ProgramInfo {}
impl Info for LinkInfo {}

/// Asks what a descriptor is.
///
/// # Errors
/// The system's: it is not of eBPF.
pub(crate) fn info<I: Info>(of: BorrowedFd<'_>) -> io::Result<I> {
    let mut info = I::default();
    let length = u32::try_from(size_of::<I>()).unwrap_or(0);
    let mut attributes = Attributes::default();
    attributes[0] = pair(number(of), length);
    attributes[1] = ptr::from_mut(&mut info) as u64;
    // SAFETY: the kernel writes at most the length of `info`, which holds integers alone.
    unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut attributes) }?;
    Ok(info)
}

/// A map whose entries are these types: of another size it is not accepted.
#[derive(Debug)]
pub(crate) struct TypedMap<K, V> {
    fd: OwnedFd,
    entries: u32,
    types: PhantomData<fn(K) -> V>,
}

impl<K: Pod, V: Pod> TypedMap<K, V> {
    /// Takes a descriptor over.
    ///
    /// # Errors
    /// It is not of a map of this kind and these sizes.
    pub(crate) fn adopt(fd: OwnedFd, kind: u32) -> io::Result<Self> {
        let found: MapInfo = info(fd.as_fd())?;
        let sizes = [found.key_bytes, found.value_bytes].map(usize::try_from);
        if found.kind != kind || sizes != [Ok(size_of::<K>()), Ok(size_of::<V>())] {
            return Err(io::Error::other(format!(
                "a map of type {} with {} and {} bytes",
                found.kind, found.key_bytes, found.value_bytes
            )));
        }
        Ok(Self {
            fd,
            entries: found.entries,
            types: PhantomData,
        })
    }

    pub(crate) fn entries(&self) -> u32 {
        self.entries
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    pub(crate) fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// `None`: there is no such entry.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn lookup(&self, key: &K) -> io::Result<Option<V>> {
        let mut value = MaybeUninit::<V>::uninit();
        let mut attributes = self.entry(key, value.as_mut_ptr() as u64, 0);
        // SAFETY: `adopt` has compared the sizes of key and value with what the kernel moves.
        match unsafe { bpf(MAP_LOOKUP_ELEM, &mut attributes) } {
            // SAFETY: the kernel has written all of it, and a `Pod` takes every bit pattern.
            Ok(_) => Ok(Some(unsafe { value.assume_init() })),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// # Errors
    /// The system's: `EEXIST` and `ENOENT` by the flags, `E2BIG` if the map is full.
    pub(crate) fn update(&self, key: &K, value: &V, flags: u64) -> io::Result<()> {
        let mut attributes = self.entry(key, ptr::from_ref(value) as u64, flags);
        // SAFETY: `adopt` has compared the sizes of key and value with what the kernel reads.
        unsafe { bpf(MAP_UPDATE_ELEM, &mut attributes) }.map(drop)
    }

    /// # Errors
    /// The system's: `ENOENT` if there is none.
    pub(crate) fn delete(&self, key: &K) -> io::Result<()> {
        let mut attributes = self.entry(key, 0, 0);
        // SAFETY: `adopt` has compared the size of the key with what the kernel reads.
        unsafe { bpf(MAP_DELETE_ELEM, &mut attributes) }.map(drop)
    }

    /// The key behind this one, or the first; `None` behind the last.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn next_key(&self, key: Option<&K>) -> io::Result<Option<K>> {
        let mut next = MaybeUninit::<K>::uninit();
        let mut attributes = Attributes::default();
        attributes[0] = pair(number(self.fd.as_fd()), 0);
        attributes[1] = key.map_or(0, |key| ptr::from_ref(key) as u64);
        attributes[2] = next.as_mut_ptr() as u64;
        // SAFETY: `adopt` has compared the size of the key with what the kernel moves.
        match unsafe { bpf(MAP_GET_NEXT_KEY, &mut attributes) } {
            // SAFETY: the kernel has written all of it, and a `Pod` takes every bit pattern.
            Ok(_) => Ok(Some(unsafe { next.assume_init() })),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn entry(&self, key: &K, value: u64, flags: u64) -> Attributes {
        let mut attributes = Attributes::default();
        attributes[0] = pair(number(self.fd.as_fd()), 0);
        attributes[1] = ptr::from_ref(key) as u64;
        attributes[2] = value;
        attributes[3] = flags;
        attributes
    }
}

/// Waits until no program runs that has looked into a map before.
///
/// It is an array of maps with one entry: an update of one returns when no program can use what it
/// had before (`maybe_wait_bpf_programs` of the kernel). Nothing else says this to a process.
#[derive(Debug)]
pub(crate) struct Fence {
    map: TypedMap<u32, u32>,
}

impl Fence {
    /// # Errors
    /// The system's: no CAP_BPF.
    pub(crate) fn new(inner: BorrowedFd<'_>) -> io::Result<Self> {
        let mut attributes = Attributes::default();
        attributes[0] = pair(TYPE_ARRAY_OF_MAPS, 4);
        attributes[1] = pair(4, 1);
        attributes[2] = pair(0, number(inner));
        // SAFETY: no addresses.
        let made = unsafe { bpf(MAP_CREATE, &mut attributes) }?;
        Self::adopt(owned(made)?)
    }

    /// # Errors
    /// The descriptor is of something else.
    pub(crate) fn adopt(fd: OwnedFd) -> io::Result<Self> {
        let map = TypedMap::adopt(fd, TYPE_ARRAY_OF_MAPS)?;
        Ok(Self { map })
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        self.map.fd()
    }

    pub(crate) fn into_fd(self) -> OwnedFd {
        self.map.into_fd()
    }

    /// Returns when every run of a program is over that began before the call. `inner` is the map
    /// that it was made with.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn wait(&self, inner: BorrowedFd<'_>) -> io::Result<()> {
        self.map.update(&0, &number(inner), 0)
    }
}

/// Attaches a program to an interface (`BPF_LINK_CREATE`); it stays as long as the link is open.
///
/// # Errors
/// The system's.
pub(crate) fn link(
    program: BorrowedFd<'_>,
    interface: u32,
    attach_type: u32,
    flags: u32,
) -> io::Result<OwnedFd> {
    let mut attributes = Attributes::default();
    attributes[0] = pair(number(program), interface);
    attributes[1] = pair(attach_type, flags);
    // SAFETY: no addresses.
    owned(unsafe { bpf(LINK_CREATE, &mut attributes) }?)
}

/// A run by hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ran {
    /// What the program returned.
    pub(crate) answer: u32,
    /// Bytes of the packet that it left.
    pub(crate) bytes: usize,
    /// Nanoseconds a run took on average.
    pub(crate) duration_ns: u32,
}

/// Runs a program on a packet, `repeat` times, without a network. What it leaves goes to `output`.
///
/// # Errors
/// The system's: a packet shorter than an Ethernet header, `ENOSPC` if the output is too short.
pub(crate) fn run(
    program: BorrowedFd<'_>,
    input: &[u8],
    output: &mut [u8],
    repeat: u32,
    flags: u32,
) -> io::Result<Ran> {
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let mut attributes = Attributes::default();
    attributes[0] = pair(number(program), 0);
    attributes[1] = pair(length(input.len()), length(output.len()));
    attributes[2] = input.as_ptr() as u64;
    // A length of 0 is no bound to the kernel; without an address it writes nothing.
    let is_wanted = !output.is_empty();
    attributes[3] = if is_wanted {
        output.as_mut_ptr() as u64
    } else {
        0
    };
    attributes[4] = pair(repeat, 0);
    attributes[8] = pair(flags, 0);
    // SAFETY: input and output are as long as said, and outlive the call.
    unsafe { bpf(PROG_TEST_RUN, &mut attributes) }?;
    let half = |word: u64, second: bool| -> u32 {
        let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
        u32::from_ne_bytes(if second { [e, f, g, h] } else { [a, b, c, d] })
    };
    Ok(Ran {
        answer: half(attributes[0], true),
        bytes: usize::try_from(half(attributes[1], true)).unwrap_or(0),
        duration_ns: half(attributes[4], true),
    })
}
