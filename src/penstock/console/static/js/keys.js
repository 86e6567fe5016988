// Loading the page again must not make another key.
if (document.getElementById("secret")) history.replaceState(null, "", location.pathname.replace(/\/(rotate|revoke)$/, ""));
