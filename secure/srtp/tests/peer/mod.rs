//! libsrtp2 as a peer, opened at run time: `LIBSRTP` names the library, else the system's is taken.

use std::ffi::{c_int, c_uint, c_ulong, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::OnceLock;

use libloading::{Library, Symbol};
use windlass_srtp::Suite;

/// The library, ready to make contexts.
pub(crate) struct Peer {
    library: Library,
}

/// Initialising is not made for several threads.
static PEER: OnceLock<Option<Peer>> = OnceLock::new();

/// Which of a context's two uses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    Open = 2,
    Seal = 3,
}

impl Peer {
    /// `None`, with the reason printed, where there is no libsrtp2.
    pub(crate) fn find() -> Option<&'static Self> {
        PEER.get_or_init(Self::load).as_ref()
    }

    fn load() -> Option<Self> {
        let name = std::env::var("LIBSRTP").unwrap_or_else(|_| "libsrtp2.so.1".to_owned());
        // SAFETY: libsrtp2 has no constructors with conditions on the caller.
        let library = match unsafe { Library::new(&name) } {
            Ok(library) => library,
            Err(error) => {
                println!("left out, no libsrtp2: {error}");
                return None;
            }
        };
        // SAFETY: the signature is that of srtp.h, and nobody else initialises.
        let status = unsafe {
            let init: Symbol<'_, unsafe extern "C" fn() -> c_int> =
                library.get(b"srtp_init").ok()?;
            init()
        };
        (status == 0).then_some(Self { library })
    }

    /// A context for one direction; `None` if the library has not the suite.
    pub(crate) fn context(
        &self,
        suite: Suite,
        key_salt: &[u8],
        mki: Option<&[u8]>,
        direction: Direction,
    ) -> Option<Context<'_>> {
        let (rtp, rtcp) = policies(suite)?;
        // The library reads more than the master key for the NULL cipher.
        let mut key = [key_salt, &[0; 64]].concat();
        let mut identifier = mki.unwrap_or_default().to_vec();
        let mut master = MasterKey {
            key: key.as_mut_ptr(),
            mki: identifier.as_mut_ptr(),
            mki_size: identifier.len().try_into().ok()?,
        };
        let mut masters = [&raw mut master];
        let policy = Policy {
            ssrc: [direction as c_int, 0],
            rtp,
            rtcp,
            key: if mki.is_some() {
                ptr::null_mut()
            } else {
                key.as_mut_ptr()
            },
            keys: if mki.is_some() {
                masters.as_mut_ptr()
            } else {
                ptr::null_mut()
            },
            keys_count: c_ulong::from(mki.is_some()),
            deprecated_ekt: ptr::null_mut(),
            window_size: 1024,
            allow_repeat_tx: 0,
            encrypted_extensions: ptr::null_mut(),
            encrypted_extensions_count: 0,
            next: ptr::null_mut(),
        };
        let mut context = ptr::null_mut();
        // SAFETY: the policy is laid out as in srtp.h, its pointers live until the call returns, and
        // the library copies the keys.
        let status = unsafe {
            let create: Symbol<'_, Create> = self.library.get(b"srtp_create").ok()?;
            create(&raw mut context, &raw const policy)
        };
        let use_mki = c_uint::from(mki.is_some());
        // SAFETY: the signatures are those of srtp.h.
        unsafe {
            (status == 0).then_some(Context {
                context,
                use_mki,
                protect: *self.library.get(b"srtp_protect_mki").ok()?,
                unprotect: *self.library.get(b"srtp_unprotect_mki").ok()?,
                protect_rtcp: *self.library.get(b"srtp_protect_rtcp_mki").ok()?,
                unprotect_rtcp: *self.library.get(b"srtp_unprotect_rtcp_mki").ok()?,
                dealloc: *self.library.get(b"srtp_dealloc").ok()?,
                library: PhantomData,
            })
        }
    }
}

type Create = unsafe extern "C" fn(*mut *mut c_void, *const Policy) -> c_int;
type Protect = unsafe extern "C" fn(*mut c_void, *mut u8, *mut c_int, c_uint, c_uint) -> c_int;
type Unprotect = unsafe extern "C" fn(*mut c_void, *mut u8, *mut c_int, c_uint) -> c_int;

/// `srtp_t`.
pub(crate) struct Context<'l> {
    context: *mut c_void,
    use_mki: c_uint,
    protect: Protect,
    unprotect: Unprotect,
    protect_rtcp: Protect,
    unprotect_rtcp: Unprotect,
    dealloc: unsafe extern "C" fn(*mut c_void) -> c_int,
    library: PhantomData<&'l Library>,
}

/// The status of libsrtp2, if it is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(c_int);

impl Context<'_> {
    pub(crate) fn seal_rtp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, Status> {
        self.protect(self.protect, buffer, len)
    }

    pub(crate) fn seal_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, Status> {
        self.protect(self.protect_rtcp, buffer, len)
    }

    pub(crate) fn open_rtp(&mut self, packet: &mut [u8]) -> Result<usize, Status> {
        self.unprotect(self.unprotect, packet)
    }

    pub(crate) fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Status> {
        self.unprotect(self.unprotect_rtcp, packet)
    }

    fn protect(&mut self, call: Protect, buffer: &mut [u8], len: usize) -> Result<usize, Status> {
        assert!(
            buffer.len() >= len + 16 + 4 + 128,
            "room for trailer and MKI"
        );
        let mut len = c_int::try_from(len).map_err(|_| Status(-1))?;
        let (context, use_mki) = (self.context, self.use_mki);
        // SAFETY: the context lives, and the buffer has the room that srtp.h asks for.
        let status = unsafe { call(context, buffer.as_mut_ptr(), &raw mut len, use_mki, 0) };
        result(status, len)
    }

    fn unprotect(&mut self, call: Unprotect, packet: &mut [u8]) -> Result<usize, Status> {
        let mut len = c_int::try_from(packet.len()).map_err(|_| Status(-1))?;
        let (context, use_mki) = (self.context, self.use_mki);
        // SAFETY: the context lives, and the packet is as long as said.
        let status = unsafe { call(context, packet.as_mut_ptr(), &raw mut len, use_mki) };
        result(status, len)
    }
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        // SAFETY: made by srtp_create, and not used after.
        unsafe { (self.dealloc)(self.context) };
    }
}

fn result(status: c_int, len: c_int) -> Result<usize, Status> {
    if status == 0 {
        usize::try_from(len).map_err(|_| Status(-1))
    } else {
        Err(Status(status))
    }
}

/// `srtp_crypto_policy_t`.
#[repr(C)]
#[derive(Clone, Copy)]
struct CryptoPolicy {
    cipher: c_int,
    cipher_key_len: c_int,
    authentication: c_int,
    authentication_key_len: c_int,
    tag_len: c_int,
    services: c_int,
}

/// `srtp_master_key_t`.
#[repr(C)]
struct MasterKey {
    key: *mut u8,
    mki: *mut u8,
    mki_size: c_uint,
}

/// `srtp_policy_t` of libsrtp 2.5.
#[repr(C)]
struct Policy {
    ssrc: [c_int; 2],
    rtp: CryptoPolicy,
    rtcp: CryptoPolicy,
    key: *mut u8,
    keys: *mut *mut MasterKey,
    keys_count: c_ulong,
    deprecated_ekt: *mut c_void,
    window_size: c_ulong,
    allow_repeat_tx: c_int,
    encrypted_extensions: *mut c_int,
    encrypted_extensions_count: c_int,
    next: *mut c_void,
}

/// For RTP and RTCP; F8 it has none of.
fn policies(suite: Suite) -> Option<(CryptoPolicy, CryptoPolicy)> {
    let len = c_int::try_from(suite.key_len() + suite.salt_len()).ok()?;
    let (cipher, cipher_key_len) = match suite {
        Suite::AeadAes256Gcm => (7, len),
        Suite::AeadAes128Gcm => (6, len),
        Suite::Aes256CmHmacSha1_80 | Suite::Aes256CmHmacSha1_32 => (5, len),
        Suite::Aes192CmHmacSha1_80 | Suite::Aes192CmHmacSha1_32 => (4, len),
        Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => (1, len),
        Suite::NullHmacSha1_80 | Suite::NullHmacSha1_32 => (0, len),
        _ => return None,
    };
    let is_aead = suite.rtp_tag_len() == 16;
    let policy = |tag_len: usize| CryptoPolicy {
        cipher,
        cipher_key_len,
        authentication: if is_aead { 0 } else { 3 },
        authentication_key_len: if is_aead { 0 } else { 20 },
        tag_len: c_int::try_from(tag_len).unwrap_or_default(),
        services: if cipher == 0 { 2 } else { 3 },
    };
    Some((policy(suite.rtp_tag_len()), policy(suite.rtcp_tag_len())))
}
