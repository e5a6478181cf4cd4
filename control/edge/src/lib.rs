//! The SIP edge front: parser, transactions, dialogs, media driver.
#![forbid(unsafe_code)]
