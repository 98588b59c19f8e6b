/** What a server says is wrong with one field. */
export interface FieldError {
  /** Where it is, a JSON Pointer (RFC 6901). */
  pointer: string;
  /** What is wrong, from a list that only grows. */
  code: string;
  /** A sentence for a person. */
  detail: string;
}

/** A problem as the server tells it (RFC 9457). */
export interface Problem {
  /** HTTP status. */
  status: number;
  /** What is wrong, from a list that only grows. */
  code: string;
  /** What kind of problem it is, in words. */
  title?: string;
  /** A sentence for a person. */
  detail?: string;
  /** What is wrong with which field. */
  errors?: FieldError[];
  /** By which the server's log knows the request. */
  requestId?: string;
}

/** The server refused. Go by `code`, which never changes its meaning; `docs/errors.md` lists them. */
export class SatchelError extends Error {
  /** HTTP status. */
  readonly status: number;
  /** What is wrong, from a list that only grows. */
  readonly code: string;
  /** The whole answer. */
  readonly problem: Problem;
  /** Seconds after which another try may do, where the server said so. */
  readonly retryAfter: number | null;

  constructor(problem: Problem, retryAfter: number | null = null) {
    super(problem.detail ?? problem.title ?? `the server answered ${problem.status}`);
    this.name = "SatchelError";
    this.status = problem.status;
    this.code = problem.code;
    this.problem = problem;
    this.retryAfter = retryAfter;
  }

  /** Whether the same request may do later: the server is busy, or not well. */
  get isPassing(): boolean {
    return this.status >= 500 ? this.status !== 507 : this.status === 429 || this.status === 408;
  }
}

/** The server cannot be reached, or its answer was lost. */
export class Unreachable extends Error {
  override name = "Unreachable";
}

/** Nobody is signed in, or the session has ended. */
export class SignedOut extends Error {
  override name = "SignedOut";
}

/** A change that the server would refuse, found before anything was kept or sent. */
export class Unstorable extends Error {
  override name = "Unstorable";
  /** What the server would have said. */
  readonly code: "invalid" | "too_large" | "quota_exceeded";
  /** What is wrong, and where in the value. */
  readonly errors: FieldError[];

  constructor(code: Unstorable["code"], errors: FieldError[]) {
    super(`${code}: ${errors.map(({ pointer, detail }) => `${pointer} ${detail}`.trim()).join("; ")}`);
    this.code = code;
    this.errors = errors;
  }
}

/** There is work that was not sent yet, and signing out would lose it. */
export class UnsentWork extends Error {
  override name = "UnsentWork";
  /** How many values. */
  readonly count: number;

  constructor(count: number) {
    super(`${count} changes were not sent yet: sign out when they were, or with { discardUnsent: true }`);
    this.count = count;
  }
}

/** There is no guest on this device whose data could be merged. */
export class NoGuest extends Error {
  override name = "NoGuest";
}

/** What a guest and a person both have, of which there can be one. */
export interface GuestConflict {
  /** `appData`, `user`, `email`, `profile`, `preferences`, `projects`, `account`. */
  kind: string;
  /** Which app's value. */
  appId?: string;
  /** Under which key. */
  dataKey?: string;
  /** Which field of the user, the profile or the preferences. */
  field?: string;
  /** Which project's role. */
  projectId?: string;
}

/** Guest and person both have something, and it was not said whose is kept: `merge_conflict`. */
export class MergeConflict extends SatchelError {
  /** What both have. */
  readonly conflicts: GuestConflict[];

  constructor(problem: Problem) {
    super(problem);
    this.name = "MergeConflict";
    this.conflicts = (problem as Problem & { conflicts?: GuestConflict[] }).conflicts ?? [];
  }
}

/** The error that an answer tells. */
export async function errorOf(response: Response): Promise<SatchelError> {
  const wait = Number(response.headers.get("Retry-After") ?? Number.NaN);
  let problem: Problem = { status: response.status, code: "unknown" };
  try {
    problem = { ...problem, ...((await response.json()) as Partial<Problem>), status: response.status };
  } catch {
    // a proxy's page is no problem of ours
  }
  if (problem.code === "merge_conflict") return new MergeConflict(problem);
  return new SatchelError(problem, Number.isFinite(wait) ? wait : null);
}
