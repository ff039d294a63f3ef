// Who is at the other end of a connection. Called by node server and admin service.

/** The part of a peer's certificate that names it. */
export interface PeerNames {
  readonly subjectaltname?: string | undefined;
}
