//! The themes of the suite. Each is one test of each storage.

mod ports;

pub use ports::ports_agree_with_the_model;
