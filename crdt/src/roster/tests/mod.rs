mod laws;
mod literal;
mod oracle;
mod rules;
mod scale;
mod struggles;
mod tickets;
