// Runs before the first paint: sets the theme that was chosen, if one was; else the system's counts.
const chosen = localStorage.getItem("standpipe-theme");
if (chosen === "dark" || chosen === "light") document.documentElement.dataset["theme"] = chosen;
