using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Programs;

/// <summary>A method that owns several trainings: train, prune, rewind, train again; forks and averages; searches.</summary>
/// <remarks>
/// It says what happens between the trainings; <see cref="ProgramRun"/> carries the trainings out, shows progress over all of them, writes checkpoints and resumes. A program must
/// be a pure function of (model, settings, plan, data): a run that was stopped does everything again up to where it was, except that finished trainings are read from
/// the run's folder instead of being repeated.
/// </remarks>
/// <param name="id">The method's id.</param>
/// <param name="stage">When the sparse network that comes out is sparse: a ticket is sparse before its training.</param>
/// <param name="settings">What every method is told.</param>
public abstract class TrainingProgram(string id, PruningStage stage, PruningSettings settings) : Sparsifier(id, stage, settings)
{
    /// <summary>Trainings, as multiples of one: for the bill, for progress, and to warn before a long run.</summary>
    public abstract double Trainings { get; }

    /// <summary>Does everything; the run's model holds the result, masks included.</summary>
    /// <exception cref="PruningException">A filter matches nothing, or a target cannot be reached.</exception>
    /// <exception cref="OperationCanceledException">The caller cancelled, or the time was up; with a folder the run can be resumed.</exception>
    public abstract PruningResult Run(ProgramRun run);
}

/// <summary>How far a program has come.</summary>
/// <param name="Done">Trainings done, as a multiple of one; fractions within a training.</param>
/// <param name="Total">Trainings in all.</param>
/// <param name="Phase">What is being done.</param>
/// <param name="Training">The present training's own report, or null between trainings.</param>
public sealed record ProgramProgress(double Done, double Total, string Phase, TrainingProgress? Training);

/// <summary>A line of a program's record: what was reached after a phase.</summary>
/// <param name="Phase">The phase.</param>
/// <param name="Density">Kept share of the weights of the pruned layers.</param>
/// <param name="Steps">Optimizer steps of the phase; 0 when nothing was trained.</param>
/// <param name="Evaluation">Quality on the evaluation data, or null when there is none.</param>
public sealed record ProgramRecord(string Phase, double Density, long Steps, Evaluation? Evaluation);
