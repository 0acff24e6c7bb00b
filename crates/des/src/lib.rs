//! Discrete-event kernel: clock, event queue, FIFO servers, fluid bandwidth sharing; knows no page
