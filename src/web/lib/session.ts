/** Who looks at this dashboard, and what they may do. */
import { useQuery } from '@tanstack/react-query'
import { get } from './api.ts'
import type { Role, Session } from './types.ts'

/** Each may do what those before it may. */
const roles: readonly Role[] = ['view', 'operate', 'admin']

/** Undefined: not known yet, or nobody is signed in. */
export function useSession(): Session | undefined {
  return useQuery({
    queryKey: ['session'],
    queryFn: () => get<Session>('/api/session'),
    staleTime: Number.POSITIVE_INFINITY,
  }).data
}

/** False as long as it is not known: what may not be done is not offered. */
export function useMay(role: Role): boolean {
  const session = useSession()
  return session !== undefined && roles.indexOf(session.role) >= roles.indexOf(role)
}
