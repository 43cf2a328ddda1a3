//! Fuzz targets for everything that reads foreign bytes, and the seeded driver that runs them; a
//! dev-dependency only. `ark-os-fuzz` is the driver's command line.

pub mod fuzz;
