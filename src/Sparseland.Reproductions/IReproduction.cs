using Sparseland.Reproductions.Running;

namespace Sparseland.Reproductions;

/// <summary>How much is spent on a reproduction.</summary>
public enum Budget
{
    /// <summary>Seconds: shows that it runs; says nothing about the claim.</summary>
    Quick,

    /// <summary>What is committed: minutes per seed, at least three seeds.</summary>
    Standard,

    /// <summary>More data, more steps, more seeds.</summary>
    Full,
}

/// <summary>One paper's headline claim at a size that a laptop can run.</summary>
/// <remarks>
/// The rules stand here, in code, before anything is measured: a verdict follows from them and the measured values alone. Budgets, thresholds and seeds are not tuned until they agree;
/// a claim that does not reproduce is reported so.
/// </remarks>
public interface IReproduction
{
    /// <summary>Stable id, as on the command line.</summary>
    string Id { get; }

    /// <summary>What it is about, for people.</summary>
    string Title { get; }

    /// <summary>Ids of the catalogue's methods whose claim this is; may be empty for analyses.</summary>
    IReadOnlyList<string> Methods { get; }

    /// <summary>Authors, title, venue, year.</summary>
    string Paper { get; }

    /// <summary>The claim as the paper makes it, in own words.</summary>
    string Claim { get; }

    /// <summary>The paper's own figure and where it stands; says when it is quoted from memory.</summary>
    string Figure { get; }

    /// <summary>The set-up at small scale: data, network, training, what differs from the paper.</summary>
    string Setup { get; }

    /// <summary>What the claim is measured against.</summary>
    IReadOnlyList<string> Baselines { get; }

    /// <summary>What was known or changed after something had been measured: an earlier set-up and its verdict, a rule that came later. Empty when nothing was.</summary>
    string History => "";

    /// <summary>When the claim counts as reproduced; written down before the first run.</summary>
    IReadOnlyList<Rule> Rules { get; }

    /// <summary>Seeds of a budget.</summary>
    int Seeds(Budget budget) => budget switch { Budget.Quick => 1, Budget.Standard => 3, _ => 5 };

    /// <summary>Measures everything for one seed; a pure function of (seed, budget, data).</summary>
    /// <exception cref="OperationCanceledException">The caller cancelled.</exception>
    void Run(ReproductionRun run);
}
