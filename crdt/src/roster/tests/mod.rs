mod laws;
mod oracle;
mod rules;
mod scale;
mod tickets;
