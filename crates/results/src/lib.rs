//! What a run leaves behind: counters, series, histograms, manifest; plain data, stable JSON
