mod laws;
mod placing;
mod refs;
mod rules;
mod testing;
