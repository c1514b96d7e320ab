using Sparseland.Model.Operators.Coupling;

namespace Sparseland.Pruning.Structured;

/// <summary>Why a set of entries cannot leave, and which node says so.</summary>
/// <param name="Reason">The reason.</param>
/// <param name="Because">One clause for people.</param>
/// <param name="Node">The node that says so; null for the model's interface.</param>
public sealed record Refusal(RefusalReason Reason, string Because, string? Node)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Reason.Code()} {Reason}: {Because}{(Node is null ? "" : $" (node '{Node}')")}";
}

/// <summary>Disjoint sets of axis entries; a frozen set cannot leave.</summary>
/// <remarks>Of several reasons for one set the one with the lowest code is kept, so that the order of nodes does not matter.</remarks>
internal sealed class AtomForest
{
    private readonly int[] _parent;
    private readonly Refusal?[] _frozen;

    public AtomForest(int count)
    {
        _parent = new int[count];
        _frozen = new Refusal?[count];
        for (int i = 0; i < count; i++) _parent[i] = i;
    }

    private AtomForest(AtomForest other)
    {
        _parent = (int[])other._parent.Clone();
        _frozen = (Refusal?[])other._frozen.Clone();
    }

    public int Count => _parent.Length;

    public AtomForest Clone() => new(this);

    /// <summary>The representative of an entry's set: the smallest entry in it.</summary>
    public int Find(int atom)
    {
        while (_parent[atom] != atom)
        {
            _parent[atom] = _parent[_parent[atom]];
            atom = _parent[atom];
        }
        return atom;
    }

    public void Union(int a, int b)
    {
        a = Find(a);
        b = Find(b);
        if (a == b) return;
        if (b < a) (a, b) = (b, a);
        _parent[b] = a;
        _frozen[a] = Stronger(_frozen[a], _frozen[b]);
        _frozen[b] = null;
    }

    public void Freeze(int atom, Refusal refusal)
    {
        atom = Find(atom);
        _frozen[atom] = Stronger(_frozen[atom], refusal);
    }

    /// <summary>Why the entry's set cannot leave; null when it can.</summary>
    public Refusal? FrozenBy(int atom) => _frozen[Find(atom)];

    private static Refusal? Stronger(Refusal? a, Refusal? b) => a is null ? b : b is null || a.Reason <= b.Reason ? a : b;
}
