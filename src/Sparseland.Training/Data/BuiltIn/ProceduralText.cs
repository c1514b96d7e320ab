using System.Text;

namespace Sparseland.Training.Data.BuiltIn;

/// <summary>Small stories in simple English that a grammar writes from a seed: agreement of number and person, things that are remembered over sentences, sums, lists.</summary>
/// <remarks>
/// For runs without any data: a language model of a few hundred thousand weights learns it well within minutes, and what it has to learn has many
/// ranges (spelling, grammar, who was named, what was found, how many are left). Public domain: the words are ours.
/// </remarks>
public static class ProceduralText
{
    private static readonly string[] s_girls = ["Ada", "Mina", "Rosa", "Lena", "Vera", "Ida", "Nora", "Tess"];
    private static readonly string[] s_boys = ["Otto", "Karl", "Emil", "Hugo", "Anton", "Felix", "Jona", "Theo"];
    private static readonly string[] s_things = ["apple", "stone", "shell", "feather", "button", "marble", "acorn", "coin", "ribbon", "key"];
    private static readonly string[] s_colours = ["red", "blue", "green", "yellow", "grey", "white"];
    private static readonly string[] s_sizes = ["small", "big", "tiny", "heavy", "smooth", "old"];
    private static readonly string[] s_places = ["garden", "river", "market", "old mill", "harbour", "forest", "library", "hill"];
    private static readonly string[] s_animals = ["dog", "cat", "crow", "goat", "fox", "duck"];
    private static readonly string[] s_weather = ["It was a sunny morning.", "It rained all day.", "The wind was cold.", "Snow lay on the roofs.", "The evening was quiet.", "Fog hung over the fields."];
    private static readonly string[] s_numbers = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    private static readonly string[] s_feelings = ["glad", "tired", "curious", "proud", "worried", "hungry"];

    /// <summary>Writes stories until the text has at least this many characters (all ASCII).</summary>
    /// <param name="characters">Least length.</param>
    /// <param name="seed">Which stories.</param>
    public static string Create(int characters = 160_000, long seed = 1)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(characters);
        var random = SeededRandom.Of(seed, 0x7E87);
        var text = new StringBuilder(characters + 1000);
        while (text.Length < characters) Story(text, ref random);
        return text.ToString();
    }

    private static void Story(StringBuilder text, ref SeededRandom random)
    {
        bool girl = random.NextBool();
        string name = Pick(girl ? s_girls : s_boys, ref random), friend = name;
        bool friendGirl = random.NextBool();
        while (friend == name) friend = Pick(friendGirl ? s_girls : s_boys, ref random);
        string she = girl ? "she" : "he", her = girl ? "her" : "his", place = Pick(s_places, ref random), thing = Pick(s_things, ref random);
        string colour = Pick(s_colours, ref random), size = Pick(s_sizes, ref random), animal = Pick(s_animals, ref random), feeling = Pick(s_feelings, ref random);
        int count = 2 + random.NextInt(8), given = 1 + random.NextInt(count - 1), found = 1 + random.NextInt(3);

        text.Append(Pick(s_weather, ref random)).Append(' ').Append(name).Append(" went to the ").Append(place).Append(" with ").Append(her).Append(' ').Append(animal).Append(". ");
        switch (random.NextInt(4))
        {
            case 0:
                text.Append("There ").Append(she).Append(" found ").Append(Counted(count, size, colour, thing)).Append(". ");
                text.Append(Capital(she)).Append(" gave ").Append(Counted(given, "", "", thing)).Append(" to ").Append(friend).Append(". ");
                text.Append("Now ").Append(name).Append(" had ").Append(s_numbers[count - given]).Append(" and ").Append(friend).Append(" had ").Append(s_numbers[given]).Append(". ");
                break;
            case 1:
                text.Append(Capital(her)).Append(" pocket held ").Append(Counted(count, "", colour, thing)).Append(". On the way ").Append(she).Append(" found ").Append(s_numbers[found]).Append(" more. ");
                text.Append(Capital(s_numbers[count])).Append(" and ").Append(s_numbers[found]).Append(count + found <= 12 ? " make " + s_numbers[count + found] : " make many").Append(". ");
                break;
            case 2:
                text.Append("\"Where is my ").Append(size).Append(' ').Append(thing).Append("?\" asked ").Append(friend).Append(". \"The ").Append(animal).Append(" has it,\" said ").Append(name).Append(". ");
                text.Append("They looked for the ").Append(animal).Append(" and found the ").Append(size).Append(' ').Append(thing).Append(" near the ").Append(place).Append(". ");
                break;
            default:
                text.Append("The ").Append(animal).Append("s of the ").Append(place).Append(" are ").Append(colour).Append(", but the ").Append(animal).Append(" of ").Append(name).Append(" is ").Append(Other(s_colours, colour, ref random)).Append(". ");
                text.Append("If ").Append(friend).Append(" calls, it comes; if ").Append(friend).Append(" does not call, it sleeps. ");
                break;
        }
        if (random.NextBool()) text.Append(name).Append(" was ").Append(feeling).Append(", and ").Append(friend).Append(" was ").Append(feeling).Append(" too. ");
        text.Append("Then ").Append(she).Append(" and ").Append(friend).Append(" went home from the ").Append(place).Append(".\n\n");
    }

    private static string Counted(int count, string first, string second, string thing)
    {
        string words = string.Join(' ', new[] { s_numbers[count], first, second }.Where(w => w.Length > 0));
        return $"{words} {thing}{(count == 1 ? "" : "s")}";
    }

    private static string Other(string[] list, string not, ref SeededRandom random)
    {
        while (true)
        {
            string pick = Pick(list, ref random);
            if (pick != not) return pick;
        }
    }

    private static string Pick(string[] list, ref SeededRandom random) => list[random.NextInt(list.Length)];

    private static string Capital(string word) => char.ToUpperInvariant(word[0]) + word[1..];
}
