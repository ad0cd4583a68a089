"""One process: configuration, store, scheduler, HTTP, commands. Only `bootstrap` names parts."""
