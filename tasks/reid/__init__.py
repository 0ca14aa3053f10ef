"""Person re-identification: the strong baseline on a Res2Net backbone."""
