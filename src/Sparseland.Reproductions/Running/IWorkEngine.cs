namespace Sparseland.Reproductions.Running;

/// <summary>Runs pieces of work that do not know each other: processes of this machine, or tasks of a cluster.</summary>
public interface IWorkEngine
{
    /// <summary>Runs everything.</summary>
    /// <param name="items">The work.</param>
    /// <param name="progress">Receives the pieces that are done, fractions included, and what is running.</param>
    /// <param name="cancellation">Stops all work and waits for it.</param>
    /// <exception cref="OperationCanceledException">The caller cancelled.</exception>
    Task<IReadOnlyList<WorkOutcome>> RunAsync(IReadOnlyList<WorkItem> items, Action<double, string>? progress = null, CancellationToken cancellation = default);
}
