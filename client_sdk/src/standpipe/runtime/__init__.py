"""Clock, threads and text: what every other room of the SDK stands on. Imports none of them."""
