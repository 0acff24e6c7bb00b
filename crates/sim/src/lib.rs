//! One run: the world, the event loop, the flow of a fault, a hint fault, a migration, a balance pass
