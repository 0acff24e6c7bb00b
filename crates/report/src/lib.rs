//! Tables, charts and the HTML report; reads results only
