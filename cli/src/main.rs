//! lanai
fn main() {}
