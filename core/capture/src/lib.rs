//! Where frames come from: capture files, read up to the break.
