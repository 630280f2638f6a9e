mod laws;
mod rules;
mod testing;
