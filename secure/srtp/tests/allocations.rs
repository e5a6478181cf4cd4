//! No allocation per packet once its source is known.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use windlass_srtp::{Keys, MAX_OVERHEAD, Open, Seal, Suite};

/// The system's allocator, which counts per thread.
struct Counting;

thread_local! {
    static COUNT: Cell<u32> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator; counting allocates nothing, as the
// counter has a constant start and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; the pointer came from there.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn packets_of_known_sources_allocate_nothing() {
    for suite in Suite::ALL {
        let keys = vec![0x5a; suite.key_len() + suite.salt_len()];
        let keys = Keys::from_sdes(suite, &keys).unwrap();
        let mut sender = Seal::new(keys.clone()).unwrap();
        let mut receiver = Open::new(vec![keys]).unwrap();
        let mut buffer = [0; 172 + MAX_OVERHEAD];
        let mut pass = |sequence: u16| {
            buffer[..4].copy_from_slice(&[0x80, 0, 0, 0]);
            buffer[2..4].copy_from_slice(&sequence.to_be_bytes());
            let len = sender.rtp(&mut buffer, 172).unwrap();
            // A forged packet, a good one, and the good one again.
            assert!(receiver.rtp(&mut [0x80; 60]).is_err());
            let mut copy = buffer;
            assert_eq!(receiver.rtp(&mut buffer[..len]), Ok(172));
            assert!(receiver.rtp(&mut copy[..len]).is_err());
            buffer[..2].copy_from_slice(&[0x80, 201]);
            let len = sender.rtcp(&mut buffer, 32).unwrap();
            assert_eq!(receiver.rtcp(&mut buffer[..len]), Ok(32));
        };
        // The first ones make room for the source, and for the copy of a doubtful packet.
        pass(0);
        pass(1);
        let before = COUNT.get();
        assert!(before > 0, "keys and tables were allocated");
        for sequence in 2..500 {
            pass(sequence);
        }
        assert_eq!(COUNT.get(), before, "{suite}");
    }
}
