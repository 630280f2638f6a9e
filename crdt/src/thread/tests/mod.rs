mod laws;
mod refs;
mod rules;
mod testing;
