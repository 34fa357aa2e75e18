// Before the first paint: the theme that somebody chose here, if they did.
const theme = localStorage.getItem("lastword.theme");
if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
